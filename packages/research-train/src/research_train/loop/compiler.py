"""Prepare torch's compiler: say where to keep its results and which tests to leave out."""

import logging
import os
import subprocess
from typing import Any

import torch

from research_train.errors import RunError
from research_train.record.folders import COMPILED_VARIABLE, compiled_folder


def prepare_compiler(device: torch.device, mode: str) -> dict[str, Any]:
    """Let torch compile into the assets folder; returns the `options` of torch.compile.

    mode: the config's `compile`, model or step. What it sets for the process is the same for both,
    so that no training's bits depend on what the process compiled before.
    Raises RunError without a compiler.
    """
    # Imported here: 1 to 2 seconds.
    from torch._inductor import config
    from torch._inductor.cpu_vec_isa import VecISA
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir
    from torch.utils._triton import has_triton

    # torch itself sets the variable to its default when an optimizer is made.
    if os.environ.get(COMPILED_VARIABLE, default_cache_dir()) == default_cache_dir():
        os.environ[COMPILED_VARIABLE] = str(compiled_folder())
    # It says so wherever there is a CUDA toolkit and no GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

    # Else every process compiles and runs programs to test the processor's instructions: 6 to 14 s.
    if config.cpp.vec_isa_ok is None:
        config.cpp.vec_isa_ok = True
    VecISA.check_build = _left_out
    # Kernels are made for a number of threads, which torch's cache would else not tell apart.
    options: dict[str, Any] = {"cpp.threads": torch.get_num_threads()}
    if device.type == "cpu":
        compiler_version(mode)
        if mode == "step":
            options["cpp_wrapper"] = True  # calls kernels from C++: a tenth of a small model's step
    elif (mode == "step" or device.type == "cuda") and not has_triton():
        raise RunError(
            f"compile={mode} needs Triton on {device}, which is not installed. Leave compile out."
        )
    return options


def describe_compiler(device: torch.device) -> str:
    """The compiler of steps on this device, and its flags."""
    if device.type != "cpu":
        import triton

        return f"Triton {triton.__version__}"
    from torch._inductor.cpp_builder import CppTorchOptions
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    options = CppTorchOptions(vec_isa=pick_vec_isa())
    macros = [macro.strip().removeprefix("-D ") for macro in options.get_definitions()]
    flags = [*(f"-D{macro}" for macro in macros), *(f"-{flag}" for flag in options.get_cflags())]
    return f"{compiler_version('step')}: {' '.join(flags)}"


def compiler_version(mode: str) -> str:
    """The first line of the C++ compiler's version. Raises RunError if there is none.

    mode: the config's `compile`, for the message.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        said = subprocess.run(
            [get_cpp_compiler(), "--version"], capture_output=True, text=True, check=True
        )
    except (InvalidCxxCompiler, OSError, subprocess.CalledProcessError) as error:
        raise RunError(
            f"compile={mode} needs a C++ compiler, and there is none. Install g++ (Debian: apt "
            "install g++; macOS: xcode-select --install), name one in CXX, or leave compile out."
        ) from error
    return said.stdout.partition("\n")[0]


def _left_out(instructions: Any, program: str) -> bool:
    """Settings that keep torch from instructions for bfloat16 and integers: float32 needs none."""
    return False
