"""Try each GPU: compare one matrix product on it with the CPU's."""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from research_train.errors import CommandError
from research_train.processes.children import output_of

from research_cli.environment.check import Check

if TYPE_CHECKING:
    import torch

# Relative error: 5e-4 with TF32, which a machine may have switched on; about 1 with a wrong kernel.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class GpuReport:
    """What torch says.

    built_for: `CUDA 12.8` or `the CPU`; empty when torch could not be imported.
    gpus: name and memory of each GPU whose result agrees with the CPU's.
    problem: why one GPU, or all of them, failed; empty when none did.
    """

    built_for: str
    gpus: list[str]
    problem: str


def check_cuda(report: GpuReport) -> Check:
    """Whether the GPUs of this machine compute; a machine without one is a warning.

    report: the result of `probe`, run in a child process because a driver may hang or kill it.
    """
    listed = listed_gpus()
    needs = "a GPU is optional"
    if report.built_for:
        needs += f"; torch is built for {report.built_for}"
    if report.gpus and not report.problem:
        found = f"{', '.join(report.gpus)}, {report.built_for}, agrees with the CPU"
        return Check("CUDA", "ok", found, needs)
    if listed or report.gpus:
        found = f"{', '.join(listed or report.gpus)}, but torch cannot use it: {report.problem}"
        return Check("CUDA", "fail", found, needs, _fix(report))
    fix = "if this machine has a GPU, install its driver, so that `nvidia-smi` lists the GPU"
    return Check("CUDA", "warn", "no GPU, training runs on the CPU", needs, fix)


def listed_gpus() -> list[str]:
    """The names of the GPUs that the NVIDIA driver lists, whatever torch thinks of them."""
    try:
        output = output_of(["nvidia-smi", "-L"], patience=20).decode(errors="replace")
    except (OSError, CommandError):
        return []
    return re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", output, re.MULTILINE)


def probe() -> GpuReport:
    """Compute on every GPU that torch sees."""
    import torch  # here, as only the child process needs it

    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    gpus: list[str] = []
    try:
        torch.cuda.init()  # its error says why there is no GPU
        for index in range(torch.cuda.device_count()):
            device = torch.device("cuda", index)
            name = torch.cuda.get_device_name(device)
            memory = torch.cuda.get_device_properties(device).total_memory
            error = matmul_error(device)
            if not error <= TOLERANCE:  # also true of NaN
                problem = f"a matrix product on {name} differs from the CPU's by {error:.0%}"
                return GpuReport(built_for, gpus, problem)
            gpus.append(f"{name} ({memory / 2**30:.0f} GiB)")
    except (AssertionError, RuntimeError) as error:  # AssertionError: a torch built for the CPU
        return GpuReport(built_for, gpus, str(error).splitlines()[0])
    return GpuReport(built_for, gpus, "")


def matmul_error(device: "torch.device") -> float:
    """How far a 512 x 512 matrix product on device is from the CPU's, relative to its size."""
    import torch

    left, right = torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(0))
    expected = left @ right
    computed = (left.to(device) @ right.to(device)).cpu()
    return float((computed - expected).norm() / expected.norm())


def _fix(report: GpuReport) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not report.gpus and visible is not None:
        return f"unset CUDA_VISIBLE_DEVICES (it is {visible!r})"
    if report.built_for == "the CPU":
        return "`uv sync` puts back the torch of uv.lock, which is built for CUDA"
    return (
        f"update the NVIDIA driver to one for {report.built_for or 'the CUDA version of torch'} "
        "(`nvidia-smi` shows the one installed); "
        "`python -m research_cli.environment.child GPU` shows more"
    )
