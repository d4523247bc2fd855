"""What every command of the command line shares: the console, `-C`, `--json`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows import batches
from tasks.workspace import Workspace

console = Console(highlight=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
InWorkspace = Annotated[
    Path,
    typer.Option("--workspace", "-C", metavar="DIR", help="The workspace. Default: the one around the current folder."),
]


def workspace(ctx: typer.Context) -> Workspace:
    """The workspace that the command works in."""
    folder = ctx.find_root().obj
    assert isinstance(folder, Path)
    return Workspace(batches.find_root(folder))
