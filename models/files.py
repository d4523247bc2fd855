"""Writes that a crash cannot halve: aside first, then renamed into place."""

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; it takes `path`'s place when the block succeeds.

    Whatever stood at `path` stays until then. A failed block leaves `path` as it was and removes what it wrote; what a
    killed process left goes with the next write to the same path. A file takes no folder's place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_up(path)
    aside = path.with_name(f".{path.name}.aside-{os.getpid()}")
    _remove(aside)
    try:
        yield aside
        _sync(aside)
        if path.is_dir() and aside.is_dir():  # a folder cannot be renamed over a folder that holds files
            old = path.with_name(f".{path.name}.old-{os.getpid()}")
            _remove(old)
            path.rename(old)
            try:
                aside.rename(path)
            except OSError:
                old.rename(path)
                raise
            _remove(old)
        else:
            aside.replace(path)
    finally:
        _remove(aside)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read, atomically."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n", encoding="utf-8")


def lines_of(path: Path) -> list[str]:
    """The lines of a text file. Only a line feed ends one: a text may hold U+2028, where `splitlines` cuts."""
    text = path.read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n") if text else []


def read_json(path: Path) -> Any:
    """Read JSON; the error names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _clear_up(path: Path) -> None:
    """Remove what processes that live no more left of their writes to `path`; put back what one had moved away."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*-*"):
        kind, _, process = left.name.removeprefix(f".{path.name}.").rpartition("-")
        if kind not in ("aside", "old") or not process.isdecimal() or is_alive(int(process)):
            continue
        if kind == "old" and not path.exists():
            left.rename(path)
        else:
            _remove(left)


_UMASK = os.umask(0)
os.umask(_UMASK)  # it can only be read by being set


def _sync(path: Path) -> None:
    """On the disk, and for all to read whom the umask lets: safetensors writes for its owner alone."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        file.chmod(0o666 & ~_UMASK)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists (of whatever user)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
