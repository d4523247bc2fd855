"""What validation is going to say about a batch that has just arrived.

The history is that of the champion, so a batch that still waits is not looked at for duplicates; without a base model
lengths are not looked at either. The round judges with both.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from flows import batches
from models.files import read_json
from models.records import BatchReport
from tasks import journal, validate
from tasks.validate import ValidateConfig
from tasks.workspace import BASE, Workspace


def preview(ws: Workspace, batch: str, config: ValidateConfig) -> BatchReport:
    """Judge a batch as `tasks.validate` will, and write nothing; of one that was judged, what was said then."""
    known = batches.read(ws)
    judged = ws.validated(batch) / "report.json"
    if batch not in batches.pending(ws, known) and judged.is_file():
        return BatchReport.model_validate(read_json(judged))
    champion = journal.champions_batch(ws)  # the registry itself would take seconds to ask
    parent = champion if champion in known.batches else known.last_accepted
    has_history = (ws.validated(parent) / "history.jsonl").is_file()
    history = validate.known_texts(validate.read_history(ws, parent)) if has_history else {}
    ruler = validate.read_ruler(ws, config) if (ws.weights(BASE) / "tokenizer.json").is_file() else None
    rows, rejected = validate.parse(ws.raw(batch))
    return validate.check(rows, rejected, batch=batch, history=history, ruler=ruler, config=config).report


def place(line: int, places: Sequence[tuple[Path, int]]) -> str:
    """Where a line of a batch stood: in which file, and at which line of it, where the batch has just been made."""
    if not places:
        return f"line {line}"
    path, number = places[line - 1]
    return f"{path}:{number}"


def show(report: BatchReport, console: Console, places: Sequence[tuple[Path, int]] = ()) -> None:
    """For people."""
    console.print(f"[bold]{report.batch}[/bold]: {escape(validate.summary(report))}")
    for r in report.rejected:
        where = f"{place(r.line, places)}{f' ({r.id})' if r.id else ''}"
        console.print(f"  {where}: {r.expectation}: {r.reason}", markup=False, soft_wrap=True)
