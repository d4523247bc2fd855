"""`journal.jsonl`: who moved the champion, when and why, and what the gate decided; a line each, never rewritten.

It travels with git, which the registry does not. Knows no registry: what a line tells of, runs and numbers, is given.
"""

import errno
import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.files import lines_of
from tasks.workspace import Workspace

What = Literal["accept", "refuse", "promote", "rollback"]


class Move(BaseModel):
    """One line of the journal: what happened to `version`, and the champion's number before (`was`) and after.

    The journal travels with git and the registry does not: in a clone with a registry of its own the numbers start
    again. `run` is what tells a version from another of the same number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    who: str
    what: What
    version: int
    batch: str
    run: str
    was: int | None
    champion: int | None
    why: str


def read(ws: Workspace) -> list[Move]:
    """What was decided and moved, oldest first."""
    if not ws.journal.exists():
        return []
    moves = []
    for number, line in enumerate(lines_of(ws.journal), start=1):
        try:
            moves.append(Move.model_validate_json(line))
        except ValueError as error:
            raise ValueError(
                f"{ws.journal}:{number}: not a whole line of the journal ({error}). Mend it or delete it "
                "(`git diff journal.jsonl` shows what is new); the next `selfparam run` writes what it still misses."
            ) from error
    return moves


def champions_batch(ws: Workspace) -> str | None:
    """The batch of the champion as the journal tells it, which needs no registry; None before the first one."""
    return next((move.batch for move in reversed(read(ws)) if move.what in ("promote", "rollback")), None)


def was_judged(ws: Workspace, batch: str) -> bool:
    """Whether the gate has ever decided about a version of this batch, by the journal."""
    return any(move.batch == batch and move.what in ("accept", "refuse") for move in read(ws))


def was_promoted_since(ws: Workspace, batch: str) -> bool:
    """Whether a version of this batch was made the champion after the gate had last refused one."""
    moves = [move.what for move in read(ws) if move.batch == batch and move.what in ("refuse", "promote")]
    return moves[-1:] == ["promote"]


def append(ws: Workspace, move: Move) -> None:
    """Add a line, whole or not at all: one write to a file opened for appending, and on disk before this returns."""
    line = (json.dumps(move.model_dump(mode="json"), ensure_ascii=False) + "\n").encode()
    handle = os.open(ws.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        if os.write(handle, line) < len(line):  # the disk is full: half a line would stop every later round
            os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(ws.journal))
        os.fsync(handle)
    finally:
        os.close(handle)


def champions(moves: Sequence[Move], back: Sequence[What] = ("rollback",)) -> list[str]:
    """The runs of the champions, each built on the one before; one of `back` takes the later ones off the line."""
    line: list[str] = []
    for move in moves:
        if move.what in back and move.run in line:
            while line[-1] != move.run:
                line.pop()
        elif move.what in ("promote", "rollback") and line[-1:] != [move.run]:
            line.append(move.run)
    return line
