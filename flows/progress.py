"""What a person sees of a round: a line a stage (what, how far, how long), fed by the records of the logger.

It knows no Prefect and no stage: it draws what is logged with `extra={"stage": …}`. Where the output is no terminal,
the lines are printed as they come.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

HOW_FAR = re.compile(r"\b(\d+)/(\d+)\b")  # "integrate b0000 step 40/200 loss 0.41"


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Show what the logger `selfparam` is told until the block ends."""
    log = logging.getLogger("selfparam")
    progress = Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        _TimeLeft(),
        TextColumn("[dim]{task.fields[line]}", markup=True),
        console=console,
        disable=not console.is_terminal,
    )
    handler = _Handler(progress, console)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with progress:
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _TimeLeft(TimeRemainingColumn):
    """How long it will take from here to what is counted, once that can be told."""

    def render(self, task: Task) -> Text:
        """`0:01:20 left`, or nothing."""
        return Text() if task.finished or task.time_remaining is None else super().render(task).append(" left")


class _Handler(logging.Handler):
    def __init__(self, progress: Progress, console: Console) -> None:
        super().__init__(logging.INFO)
        self.progress = progress
        self.console = console
        self.rows: dict[str, TaskID] = {}

    def emit(self, record: logging.LogRecord) -> None:
        stage = record.__dict__.get("stage")
        line = record.getMessage()
        line = line.removeprefix(f"{stage}").lstrip(": ") or line  # most stages name themselves in their lines
        if stage is None:
            self.console.print(line, markup=False, highlight=False)
        elif not self.console.is_terminal:
            self.console.print(f"{stage}: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._draw(stage, line, is_done=record.__dict__.get("is_done", False))

    def _draw(self, stage: str, line: str, *, is_done: bool) -> None:
        if stage not in self.rows:
            self.rows[stage] = self.progress.add_task(stage, total=None, line="")
        row = self.rows[stage]
        short = escape(line[: max(20, self.console.width - 72)])
        if is_done:
            self.progress.update(row, total=1, completed=1, line=short)
        elif how_far := HOW_FAR.search(line):
            self.progress.update(row, completed=int(how_far[1]), total=int(how_far[2]), line=short)
        else:
            self.progress.update(row, line=short)
