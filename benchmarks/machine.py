"""Where and with what a benchmark ran: the lines that every table begins with."""

import platform
import subprocess
from argparse import SUPPRESS, Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from importlib import metadata
from pathlib import Path

import torch

from models import machine
from models.model import best_device


class _Help(RawDescriptionHelpFormatter):
    """The text as it was written, and the defaults that are values."""

    def _get_help_string(self, action: Action) -> str | None:
        default = action.default
        has_default = action.option_strings and default is not False and default not in (None, [], SUPPRESS)
        return f"{action.help or ''} (default: %(default)s)".strip() if has_default else action.help


def parser(name: str, text: str) -> ArgumentParser:
    """For `python -m name`, with the module's own `text` as its help."""
    return ArgumentParser(prog=f"python -m {name}", description=text, formatter_class=_Help)


def described(asked: Namespace | None = None, *packages: str) -> str:
    """Processor, threads, Python and the versions of selfparam, torch, transformers and `packages`; then the commit and
    what the benchmark was asked for."""
    names = ("selfparam", "torch", "transformers", *packages)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    threads = f"{torch.get_num_threads()} threads"
    values = {name: value for name, value in vars(asked).items() if value is not None} if asked else {}
    return (
        f"{machine.described(best_device())}, {threads}, Python {platform.python_version()}, {versions}\n"
        + ", ".join([f"commit {_commit()}", *(f"{name} {_shown(value)}" for name, value in values.items())])
    )


def _commit() -> str:
    """The checkout's commit, with a mark where files differ from it."""
    asked = ["git", "describe", "--always", "--dirty"]
    try:
        said = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:  # no git here
        return "unknown"
    return said.stdout.strip() or "unknown"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return value.name if isinstance(value, Path) else str(value)
