"""What a workspace holds, and whether its books agree: `batches.yaml`, data, weights, registry, `dvc.lock`."""

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows import batches, dvc, locks
from flows.settings import register_config
from tasks import digests, journal, registry
from tasks.registry import RegisteredVersion
from tasks.workspace import BASE, Workspace

AGAIN = "take its `state` away in batches.yaml, and `selfparam run` registers and judges it"


class BatchStatus(BaseModel):
    """One batch: `state` is accepted, refused, rejected, unfinished or pending; `reason` says why it was not let in."""

    model_config = ConfigDict(frozen=True)

    batch: str
    state: str
    parent: str | None
    version: int | None
    reason: str | None = None


class Status(BaseModel):
    """The whole answer of `selfparam status`."""

    model_config = ConfigDict(frozen=True)

    workspace: str
    champion: int | None
    champion_batch: str
    has_base: bool
    is_running: bool
    pending: list[str]
    batches: list[BatchStatus]
    disagreements: list[str] | None  # None while a round runs

    @property
    def agrees(self) -> bool:
        return not self.disagreements

    def show(self, console: Console) -> None:
        """For people."""
        table = Table(title=escape(self.workspace), title_justify="left")
        for name in ("batch", "state", "learnt on top of", "version", ""):
            table.add_column(name)
        colours = {
            "accepted": "green",
            "refused": "yellow",
            "rejected": "yellow",
            "unfinished": "cyan",
            "pending": "cyan",
        }
        for b in self.batches:
            is_champion = b.version is not None and b.version == self.champion
            table.add_row(
                b.batch,
                f"[{colours[b.state]}]{b.state}[/]",
                b.parent or "",
                "" if b.version is None else str(b.version),
                "champion" if is_champion else escape(b.reason or ""),
            )
        console.print(table)
        none = "none yet" + (" (`selfparam ask --version base` asks the base)" if self.has_base else "")
        console.print(f"Champion: {f'version {self.champion} ({self.champion_batch})' if self.champion else none}")
        console.print(f"Pending: {', '.join(self.pending) or 'nothing'}")
        if self.is_running:
            console.print("[cyan]A round is running: whether the books agree is seen when it has ended.[/cyan]")
        elif self.agrees:
            console.print("[green]Data, weights, registry and dvc.lock agree.[/green]")
        for line in self.disagreements or ():
            console.print(f"[red]Disagree:[/red] {escape(line)}")


def look(ws: Workspace) -> Status:
    """Look at a workspace and change nothing."""
    known = batches.read(ws)  # first: what is settled here stands in the registry already
    versions = registry.versions(ws, register_config(ws))  # before the lock: a server may keep us waiting
    try:
        with locks.held_briefly(ws.root):
            return _look(ws, known, versions, is_running=False)
    except locks.Busy:
        return _look(ws, known, versions, is_running=True)


def rows(ws: Workspace, known: batches.Batches, versions: list[RegisteredVersion]) -> list[BatchStatus]:
    """What became of every batch that arrived."""
    newest = {version.batch: version for version in versions}
    listed = [_row(name, entry, newest.get(name)) for name, entry in known.batches.items()]
    listed += [
        BatchStatus(batch=name, state="rejected", parent=entry.parent, version=None, reason=entry.reason)
        for name, entry in known.rejected.items()
    ]
    waiting = batches.pending(ws, known)
    listed += [BatchStatus(batch=name, state="pending", parent=None, version=None) for name in waiting]
    return sorted(listed, key=lambda b: int(b.batch[1:]))


def _row(name: str, entry: batches.Entry, version: RegisteredVersion | None) -> BatchStatus:
    reason = None
    if version is None and entry.state:
        reason = "the registry knows no version of it"
    elif version and entry.state == "refused":
        reason = version.tags.get("gate.reasons")
    return BatchStatus(
        batch=name,
        state=entry.state or "unfinished",
        parent=entry.parent,
        version=version.number if version else None,
        reason=reason,
    )


def _look(ws: Workspace, known: batches.Batches, versions: list[RegisteredVersion], *, is_running: bool) -> Status:
    champion = registry.champion_of(versions)
    return Status(
        workspace=str(ws.root),
        champion=champion.number if champion else None,
        champion_batch=champion.batch if champion else BASE,
        has_base=ws.weights(BASE).is_dir(),
        is_running=is_running,
        pending=batches.pending(ws, known),
        batches=rows(ws, known, versions),
        # while a round runs the books are being written, and DVC does not answer
        disagreements=None if is_running else _disagreements(ws, known, versions),
    )


def _disagreements(ws: Workspace, known: batches.Batches, versions: list[RegisteredVersion]) -> list[str]:
    found = _missing(ws, known)
    try:
        found += _unregistered(ws, known, {version.batch for version in versions})
        found += _rebuilt(ws, known, versions)
        champion = registry.champion_of(versions)
        if champion and not found and (other := digests.in_the_place_of(ws, champion)):
            found.append(other)
        found += _unlike_dvc(ws)
    except ValueError as error:  # marks of a merge in dvc.yaml or dvc.lock, most often
        found.append(" ".join(str(error).split()))
    return found


def _missing(ws: Workspace, known: batches.Batches) -> list[str]:
    found = []
    there = set(batches.arrived(ws))
    for name, entry in known.batches.items():
        if name not in there:
            found.append(f"{name} is in batches.yaml, and data/raw/{name}.jsonl is gone (`dvc checkout` or `dvc pull`)")
        if entry.state is None:
            continue  # being worked on: the next round completes it
        if not ws.weights(name).is_dir():
            found.append(f"{name} is {entry.state}, and data/weights/{name} is gone (`dvc checkout`, or `dvc repro`)")
    return found


def _unregistered(ws: Workspace, known: batches.Batches, registered: set[str]) -> list[str]:
    """A registry that knows nothing, or not the champion. Any other version may be dropped (`mlflow/README.md`)."""
    if known.settled and registered.isdisjoint(known.settled):
        return ["the registry knows no version of any batch (`selfparam run` registers and judges them again)"]
    champion = journal.champions_batch(ws)
    if champion in registered or champion not in known.settled:
        return []
    return [f"{champion} was champion, and the registry knows no version of it: {AGAIN}"]


def _rebuilt(ws: Workspace, known: batches.Batches, versions: list[RegisteredVersion]) -> list[str]:
    """Settled batches whose weights are no longer those that were registered and judged."""
    found = []
    hashes = digests.locked(ws)
    for name, entry in known.batches.items():
        mine = [version for version in versions if version.batch == name]
        if entry.state and mine and ws.weights(name).is_dir() and not digests.on_disk(ws, name, mine, hashes):
            found.append(
                f"data/weights/{name} was rebuilt since {name} was registered as version {mine[-1].number}: {AGAIN} "
                "(or go back: `git checkout dvc.lock data`, then `dvc checkout`)"
            )
    return found


def _unlike_dvc(ws: Workspace) -> list[str]:
    if not (ws.root / "dvc.lock").exists():
        return []
    said = dvc.status(ws.root)
    return [f"dvc.lock: {line}" for line in said.splitlines()]
