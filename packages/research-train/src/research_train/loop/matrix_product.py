"""What this machine can do: the rate of a matrix product, to hold a training step against."""

import time

import torch

SIZES = {"cpu": 1024, "cuda": 8192}  # rows and columns, large enough for the best rate
SECONDS = 0.5


def matrix_product_rate(device: torch.device) -> float:
    """Floating-point operations a second of the best float32 matrix product in half a second.

    On the CPU with as many threads as torch has now.
    """
    size = SIZES.get(device.type, 2048)
    left, right = torch.ones(2, size, size, device=device)  # draws no random numbers
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
