"""Running DVC as a child: one stage at a time, its lines handed on as they come.

The child is bound to this process (`flows.lifeline`), and so is the stage that it starts.
"""

import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from flows import lifeline
from models.files import written_aside
from tasks.digests import Loader

# what DVC tells a person at a prompt, and nobody in a round
HINTS = ("To track the changes", "git add ", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")


NOT_KEPT = "failed to transfer"  # what DVC says where a file does not get into its cache
LOCK, KEPT = "dvc.lock", ".dvc/tmp/dvc.lock"


class StageFailed(ValueError):
    """A stage ended with an error. The message holds its last lines."""


class StageKilled(StageFailed):
    """A stage was ended by a signal (out of memory, most often): worth another try, it goes on where it was."""


def run_stage(root: Path, stage: str, on_line: Callable[[str], None]) -> None:
    """Bring one stage up to date, and nothing else: `dvc repro --single-item`. Skipped by DVC where nothing changed."""
    _keep_lock(root)
    unkept = ""
    with subprocess.Popen(
        lifeline.command("dvc", "repro", "--single-item", stage),
        cwd=root,
        env=lifeline.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as child:
        assert child.stdout is not None
        last: deque[str] = deque(maxlen=6)
        for line in _worth_reading(child.stdout):
            last.append(line)
            unkept = unkept or (line if NOT_KEPT in line else "")
            on_line(line)
    if child.returncode != 0:
        was_killed = any("exited with -" in line for line in last)
        raise (StageKilled if was_killed else StageFailed)(f"The stage {stage} failed:\n" + "\n".join(last))
    if unkept:  # and DVC ends as if all were well; the next `dvc repro` would make it all again
        raise StageFailed(
            f"The stage {stage} is done, and DVC could not keep what it made ({unkept.strip()}). Make room on the "
            f"disk, then `dvc commit --force {stage}` keeps it: it need not run again."
        )


def _worth_reading(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        text = line.rstrip().rsplit("\r", 1)[-1]
        if text.strip() and not text.strip().startswith(HINTS):
            yield text


def _keep_lock(root: Path) -> None:
    """A copy of `dvc.lock`: DVC writes it in place, and one killed there leaves half of it."""
    lock = root / LOCK
    if lock.exists():
        with written_aside(root / KEPT) as aside:
            shutil.copyfile(lock, aside)


def mend_lock(root: Path) -> bool:
    """Put the copy of `dvc.lock` in its place where half of it is left; says whether it did. What the last stage made
    is in DVC's cache of runs, and need not be made again."""
    lock, kept = root / LOCK, root / KEPT
    if not lock.exists() or not kept.exists() or _is_whole(lock) or not _is_whole(kept):
        return False
    with written_aside(lock) as aside:
        shutil.copyfile(kept, aside)
    return True


def _is_whole(lock: Path) -> bool:
    """Whether a lock file ends where DVC ended it. One with the marks of a merge is left to whoever merges."""
    text = lock.read_text(encoding="utf-8", errors="replace")
    if "<<<<<<<" in text:
        return True
    try:
        stages = yaml.load(text, Loader)["stages"].values()
        return text.endswith("\n") and all(entry["path"] for stage in stages for entry in stage.get("outs", ()))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False


def track_raw(root: Path) -> None:
    """Let DVC take in what lies in `data/raw`: one directory, one pointer file."""
    _call(root, "add", "data/raw")


def status(root: Path) -> str:
    """What `dvc status` says, empty where everything agrees. ValueError where DVC cannot tell: what it says of that.

    With --quiet it ends with 1 both where something differs and where it fails.
    """
    said = _call(root, "status", "--quiet", check=False)
    return "" if said.returncode == 0 else _call(root, "status").stdout.strip()


def _call(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        lifeline.command("dvc", *arguments),
        cwd=root,
        env=lifeline.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if check and done.returncode != 0:
        raise ValueError(f"`dvc {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done
