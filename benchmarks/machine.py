"""Where and with what a benchmark ran: the line that every table begins with."""

import platform
from importlib import metadata

import torch

from models import machine
from models.model import best_device


def described(*packages: str) -> str:
    """Processor, threads, Python and the versions of selfparam, torch, transformers and `packages`."""
    names = ("selfparam", "torch", "transformers", *packages)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    threads = f"{torch.get_num_threads()} threads"
    return f"{machine.described(best_device())}, {threads}, Python {platform.python_version()}, {versions}"
