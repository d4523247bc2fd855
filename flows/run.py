"""Starting a round from the command line: whether there is anything to do, the API to report to, what a person sees."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from flows import batches, git, locks, progress, server
from flows.settings import RunConfig, register_config, section
from tasks.workspace import Workspace


def is_idle(ws: Workspace) -> bool:
    """Whether there is nothing pending and nothing half done. Answers at once: nothing heavy is imported."""
    known = batches.read(ws)
    return not known.unfinished and not batches.pending(ws, known) and not registry_is_lost(ws)


def registry_is_lost(ws: Workspace) -> bool:
    """Whether batches are settled and the registry's database is not there: a clone, or a folder that was emptied."""
    is_settled = any(entry.state for entry in batches.read(ws).batches.values())
    return is_settled and register_config(ws).unmade(ws) is not None


def close_books(ws: Workspace) -> None:
    """Commit what a round wrote that was killed just before its own commit."""
    if section(ws, "run", RunConfig).commit:
        with locks.held_briefly(ws.root):
            newest = next(reversed(batches.read(ws).batches.items()), None)
            git.commit(ws.root, f"{newest[0]}: {newest[1].state}" if newest else "The books of the rounds")


def run_round(ws: Workspace, console: Console) -> list[str]:
    """One round, shown on `console`. Returns the batches that it finished."""
    with locks.held_for_a_round(ws.root):  # said before Prefect is started; the flow takes it again for itself
        pass
    console.print("Starting the round (Prefect) …", style="dim")
    with server.reachable(ws.root):
        from prefect.exceptions import CancelledRun

        from flows.update import update

        with progress.shown(console):
            try:
                learnt = update(str(ws.root))
            except CancelledRun as busy:
                raise locks.Busy(str(busy)) from None
    assert isinstance(learnt, list)
    say_what_came(ws, learnt, console)
    return learnt


def say_what_came(ws: Workspace, learnt: list[str], console: Console) -> None:
    """A line a batch: what the gate said, or why validation rejected it."""
    known = batches.read(ws)
    for batch in learnt:
        if batch in known.rejected:
            console.print(f"{batch}: [yellow]rejected whole[/yellow]: {escape(known.rejected[batch].reason)}")
        elif known.batches[batch].state == "refused":
            console.print(f"{batch}: [yellow]refused by the gate[/yellow]; the champion stays. Why: journal.jsonl")
        else:
            console.print(f"{batch}: [green]accepted[/green], champion now")
    if not learnt:
        console.print("Nothing was pending.")


def history(root: Path) -> str:
    """The command that shows the rounds of a workspace in Prefect's UI."""
    return f"PREFECT_HOME={root / '.prefect'} prefect server start"
