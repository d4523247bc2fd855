"""Taking files in as the next batch: one immutable file in `data/raw`, whole or not at all.

It may run beside a round: the round takes along what arrives. The lines are kept as they came; what is wrong with
them is validation's business, and `flows.preview` shows what that will say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows import batches, dvc, git, locks
from flows.settings import commits
from tasks import intake
from tasks.workspace import Workspace


@dataclass(frozen=True)
class Taken:
    """What became of an intake: the batch, whether it is new or was taken before, the files in the folders that no
    experiences are read from, and of a new batch the file and the line that each of its lines was."""

    batch: str
    is_new: bool
    left_out: tuple[Path, ...] = ()
    places: tuple[tuple[Path, int], ...] = field(default=(), compare=False, repr=False)


def ingest(ws: Workspace, paths: list[Path]) -> Taken:
    """Take `paths` in as one batch; content that an earlier batch holds already is taken once."""
    git.check(ws.root)
    taken, left_out = files(paths)
    read = [(path, number, line) for path in taken for number, line in enumerate(intake.records_of(path), start=1)]
    lines = [line for _, _, line in read]
    if not any(line.strip() for line in lines):
        raise ValueError("There is nothing in these files. An experience file holds a JSON object a line.")
    with locks.held(ws.root, "intake", wait=60):
        if known := _known(ws, lines):
            return Taken(known, is_new=False, left_out=left_out)
        batches.check_raw(ws)
        batch = batches.next_name(ws)
        intake.write_lines(ws.raw(batch), lines)
    _track(ws, batch)
    return Taken(batch, is_new=True, left_out=left_out, places=tuple((path, number) for path, number, _ in read))


def files(paths: list[Path]) -> tuple[list[Path], tuple[Path, ...]]:
    """The experience files among `paths` and in the folders among them, in a fixed order; and the folders' files of
    other kinds. Hidden ones are neither."""
    found: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            for inside in sorted(_inside(path, set())):
                is_readable = inside.is_file() or not inside.exists()  # a pipe would be waited for
                (found if is_readable and inside.suffix.lower() in intake.SUFFIXES else others).append(inside)
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path} does not exist.")
    return found, tuple(others)


def _inside(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The files below `folder`, also those that a link leads to, but each folder once: links may lead in a circle."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _inside(path, seen)
        else:
            yield path


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
            if commits(ws):
                git.commit(ws.root, f"{batch}: arrived", ("data/raw.dvc",))
    except locks.Busy:  # a round is running; it tracks and takes along what arrives
        pass
