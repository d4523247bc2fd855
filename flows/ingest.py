"""Taking files in as the next batch: one immutable file in `data/raw`, whole or not at all.

It may run beside a round: the round takes along what arrives. The lines are kept as they came; what is wrong with
them is validation's business, and `flows.preview` shows what that will say.
"""

from dataclasses import dataclass
from pathlib import Path

from flows import batches, dvc, git, locks
from tasks import intake
from tasks.workspace import Workspace


@dataclass(frozen=True)
class Taken:
    """What became of an intake: the batch, and whether it is new or was taken before."""

    batch: str
    is_new: bool


def ingest(ws: Workspace, paths: list[Path]) -> Taken:
    """Take `paths` in as one batch; content that an earlier batch holds already is taken once."""
    lines = [line for path in files(paths) for line in intake.records_of(path)]
    if not lines:
        raise ValueError("There is nothing in these files. An experience file holds a JSON object a line.")
    with locks.held(ws.root, "intake", wait=60):
        if known := _known(ws, lines):
            return Taken(known, is_new=False)
        batch = batches.next_name(ws)
        intake.write_lines(ws.raw(batch), lines)
    _track(ws, batch)
    return Taken(batch, is_new=True)


def files(paths: list[Path]) -> list[Path]:
    """The experience files among `paths` and in the folders among them, in a fixed order; hidden ones are left out."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in intake.SUFFIXES)
            found += sorted(p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts))
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path} does not exist.")
    return found


def _known(ws: Workspace, lines: list[str]) -> str | None:
    wanted = intake.digest_of(lines)
    for batch in batches.arrived(ws):
        if intake.digest_of(intake.read_lines(ws.raw(batch))) == wanted:
            return batch
    return None


def _track(ws: Workspace, batch: str) -> None:
    try:
        with locks.held_briefly(ws.root):
            dvc.track_raw(ws.root)
            git.commit(ws.root, f"{batch}: arrived", ("data/raw.dvc",))
    except locks.Busy:  # a round is running; it tracks and takes along what arrives
        pass
