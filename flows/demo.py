"""The demo."""

from pathlib import Path

from rich.console import Console


def demo(folder: Path, console: Console) -> None:
    raise ValueError("not yet")
