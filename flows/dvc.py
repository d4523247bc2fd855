"""Running DVC as a child: one stage at a time, its lines handed on as they come.

The child is bound to this process (`flows.lifeline`), and so is the stage that it starts.
"""

import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from flows import lifeline

# what DVC tells a person at a prompt, and nobody in a round
HINTS = ("To track the changes", "git add ", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")


class StageFailed(ValueError):
    """A stage ended with an error. The message holds its last lines."""


class StageKilled(StageFailed):
    """A stage was ended by a signal (out of memory, most often): worth another try, it goes on where it was."""


def run_stage(root: Path, stage: str, on_line: Callable[[str], None]) -> None:
    """Bring one stage up to date, and nothing else: `dvc repro --single-item`. Skipped by DVC where nothing changed."""
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
            on_line(line)
    if child.returncode != 0:
        was_killed = any("exited with -" in line for line in last)
        raise (StageKilled if was_killed else StageFailed)(f"The stage {stage} failed:\n" + "\n".join(last))


def _worth_reading(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        text = line.rstrip().rsplit("\r", 1)[-1]
        if text.strip() and not text.strip().startswith(HINTS):
            yield text


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
