"""The commands that move the champion by hand: `promote` and `rollback`."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows import git, locks
from flows.options import AsJson, console, workspace
from flows.settings import commits, register_config
from tasks.registry import RegisteredVersion
from tasks.workspace import Workspace

Why = Annotated[str, typer.Option(help="The reason, for the journal.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="Example: [bold]selfparam promote 2 --why 'checked by hand'[/bold]")(promote)
    app.command(epilog="Example: [bold]selfparam rollback --why 'wrong price list'[/bold]")(rollback)


def promote(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="N", help="The version's number in the registry.")],
    why: Why = "by hand",
    as_json: AsJson = False,
) -> None:
    """Make version N the champion, by hand. Recorded in journal.jsonl with who and why."""
    from tasks import registry

    ws = workspace(ctx)
    with locks.held_briefly(ws.root):
        now = registry.promote(ws, register_config(ws), number, who=git.person(ws.root), why=why, at=datetime.now(UTC))
        _record(ws, now, f"version {number} is champion: {why}", as_json=as_json)


def rollback(ctx: typer.Context, why: Why = "by hand", as_json: AsJson = False) -> None:
    """Make the champion before this one the champion again. Recorded in journal.jsonl with who and why."""
    from tasks import registry

    ws = workspace(ctx)
    with locks.held_briefly(ws.root):
        now = registry.rollback(ws, register_config(ws), who=git.person(ws.root), why=why, at=datetime.now(UTC))
        _record(ws, now, f"back to version {now.number}: {why}", as_json=as_json)


def _record(ws: Workspace, now: RegisteredVersion, message: str, *, as_json: bool) -> None:
    if commits(ws):
        git.commit(ws.root, message, ("journal.jsonl",))
    if as_json:
        print(json.dumps({"champion": now.number, "batch": now.batch}))
    else:
        console.print(f"Champion: version [bold]{now.number}[/bold] ({now.batch})")
