"""Locks that the kernel takes back when their holder dies, however it dies.

`round`: one round at a time in a workspace. `books`: one at a time who needs DVC, the journal or git: a round from its
beginning to its end, or somebody who is done in seconds (an arrival that is tracked, a promotion, `selfparam status`).
`intake`: one arrival at a time. `integrate`: one integration at a time, whoever started it (a round, or `dvc repro` by
hand). DVC's own lock does not wait, so ours is taken first.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Name = Literal["round", "books", "intake", "integrate"]

PEEK = 1.0  # seconds: whoever looks whether a round runs holds its lock for a moment
PATIENCE = 60.0  # seconds: whoever holds the books and is no round has given them back long before


class Busy(ValueError):
    """Somebody else holds the lock."""


@contextmanager
def held(root: Path, name: Name, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the workspace's lock `name`; `Busy` where another process has it for longer than `wait` seconds."""
    path = root / ".dvc" / "tmp" / f"selfparam.{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file.fileno(), path, name, wait)
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%H:%M:%S")}))
        file.flush()
        yield  # closing the file gives the lock back; so does the kernel when this process dies


@contextmanager
def held_for_a_round(root: Path) -> Iterator[None]:
    """For a round: refused where another runs, and waiting for those who are done in seconds."""
    with held(root, "round", wait=PEEK), held(root, "books", wait=PATIENCE):
        yield


@contextmanager
def held_briefly(root: Path) -> Iterator[None]:
    """For those who are done in seconds: refused where a round runs (it may take hours), and waiting for each other."""
    with held(root, "round", wait=PEEK):
        pass
    with held(root, "books", wait=PATIENCE):
        yield


def _take(descriptor: int, path: Path, name: Name, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(_message(path, name)) from None
            time.sleep(0.2)


def _message(path: Path, name: Name) -> str:
    what = {
        "round": "A round is running",
        "books": "Another command is at work",
        "intake": "An intake is running",
        "integrate": "An integration is running",
    }
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f" (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError, TypeError):  # the holder is just writing who it is
        who = ""
    return f"{what[name]} in this workspace{who}. Wait for it, or end it: the next `selfparam run` goes on from there."
