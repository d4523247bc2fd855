"""Where and with what a benchmark ran: the line that every table begins with."""

import platform
from importlib import metadata
from pathlib import Path

import torch


def described(*packages: str) -> str:
    """Processor, threads, Python and the versions of selfparam, torch, transformers and `packages`."""
    names = ("selfparam", "torch", "transformers", *packages)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return f"{_processor()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    fast = [flag for flag in ("amx_bf16", "avx512_bf16") if f" {flag}" in flags]
    return " ".join([named, *fast])
