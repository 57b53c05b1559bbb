"""The hardware that a claim's runs need, where not every machine can make them."""

from pydantic import BaseModel, ConfigDict, Field


class Awaiting(BaseModel):
    """What the runs of a claim need.

    gpu_gb: memory of the CUDA device, in GB (10^9 bytes). hours: how long all of its runs take
    there, one after another. measured: how these hours were found.
    """

    model_config = ConfigDict(extra="forbid")

    gpu_gb: float = Field(gt=0, allow_inf_nan=False)
    hours: float = Field(gt=0, allow_inf_nan=False)
    measured: str = Field(min_length=1)

    def __str__(self) -> str:
        return f"a GPU of {self.gpu_gb:g} GB for {self.hours:g} h"

    def why_not_on(self, gpu_gb: float | None) -> str | None:
        """Why a machine can't make the runs, as the end of a sentence; None if it can.

        gpu_gb: the memory of its CUDA device in GB; None if it has no such device.
        """
        if gpu_gb is None:
            return "this machine has none"
        return f"this machine's has {gpu_gb:.1f} GB" if gpu_gb < self.gpu_gb else None
