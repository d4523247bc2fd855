"""Starting a round from the command line: whether there is anything to do, the API to report to, what a person sees."""

from rich.console import Console
from rich.markup import escape

from flows import batches, git, locks, progress, server
from flows.settings import commits, register_config
from flows.status import BatchStatus, rows
from models.files import read_json
from tasks import registry
from tasks.workspace import Workspace


def is_idle(ws: Workspace) -> bool:
    """Whether there is nothing pending and nothing half done. Answers at once: nothing heavy is imported, unless a
    server keeps the registry."""
    known = batches.read(ws)
    return not known.unfinished and not batches.pending(ws, known) and not registry_is_lost(ws)


def registry_is_lost(ws: Workspace) -> bool:
    """Whether batches are settled and the registry knows none of them: a clone, an emptied folder, another server."""
    settled = batches.read(ws).settled
    return bool(settled) and not registry.knows_any(ws, register_config(ws), settled)


def close_books(ws: Workspace) -> None:
    """Commit what a round wrote that was killed just before its own commit."""
    if commits(ws):
        with locks.held_briefly(ws.root):
            newest = next(reversed(batches.read(ws).batches.items()), None)
            git.commit(ws.root, f"{newest[0]}: {newest[1].state}" if newest else "The books of the rounds")


def run_round(ws: Workspace, console: Console) -> list[BatchStatus]:
    """One round, shown on `console`. Returns what became of the batches that it finished."""
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
    versions = registry.versions(ws, register_config(ws))
    came = [row for row in rows(ws, batches.read(ws), versions) if row.batch in learnt]
    champion = registry.champion_of(versions)
    say_what_came(came, champion.number if champion else None, console)
    for row in came:
        if row.state != "rejected":  # whose reason says it
            say_what_is_untaught(ws, row.batch, console)
    return came


def say_what_is_untaught(ws: Workspace, batch: str, console: Console) -> None:
    """Name the experiences of a batch that was learnt about which no question could be written."""
    report = ws.qa(batch) / "report.json"
    if report.exists() and (silent := read_json(report)["without_pairs"]):
        names = escape(", ".join(silent))
        console.print(
            f"{batch}: no question could be written about {names}: take it in again with `qa`.", style="yellow"
        )


def say_what_came(came: list[BatchStatus], champion: int | None, console: Console) -> None:
    """A line a batch: what the gate said, or why validation rejected it."""
    for row in came:
        why = escape(row.reason or "")
        if row.state == "rejected":
            console.print(f"{row.batch}: [yellow]rejected whole[/yellow]: {why}")
        elif row.state == "refused":
            console.print(f"{row.batch}: [yellow]refused by the gate[/yellow], the champion stays: {why}")
        else:
            now = ", champion now" if row.version == champion else ""
            console.print(f"{row.batch}: [green]accepted[/green]{now}")
    if not came:
        console.print("Nothing was pending.")
