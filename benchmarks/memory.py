"""How much memory a process has held at most."""

import resource
from pathlib import Path

import torch


def peak_memory(device: torch.device) -> float:
    """The most that this process has held so far, in GB: on a GPU the tensors there, else all of it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    status = Path("/proc/self/status")
    if status.exists():  # of Linux, where what `resource` says includes the peak of the process that started this one
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
