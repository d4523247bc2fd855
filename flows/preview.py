"""What validation is going to say about a batch that has just arrived.

The history is that of the last accepted batch, so a batch that still waits is not looked at for duplicates; without
a base model lengths are not looked at either. The round judges with both.
"""

from rich.console import Console
from rich.markup import escape

from flows import batches
from models.files import read_json
from models.records import BatchReport
from tasks import validate
from tasks.validate import ValidateConfig
from tasks.workspace import BASE, Workspace


def preview(ws: Workspace, batch: str, config: ValidateConfig) -> BatchReport:
    """Judge a batch as `tasks.validate` will, and write nothing; of one that was judged, what was said then."""
    known = batches.read(ws)
    judged = ws.validated(batch) / "report.json"
    if batch not in batches.pending(ws, known) and judged.is_file():
        return BatchReport.model_validate(read_json(judged))
    parent = known.last_accepted
    has_history = (ws.validated(parent) / "history.jsonl").is_file()
    history = {e.digest: e.batch for e in validate.read_history(ws, parent)} if has_history else {}
    ruler = validate.read_ruler(ws, config) if (ws.weights(BASE) / "tokenizer.json").is_file() else None
    rows, rejected = validate.parse(ws.raw(batch))
    return validate.check(rows, rejected, batch=batch, history=history, ruler=ruler, config=config).report


def show(report: BatchReport, console: Console) -> None:
    """For people."""
    console.print(f"[bold]{report.batch}[/bold]: {escape(validate.summary(report))}")
    for r in report.rejected:
        console.print(f"  line {r.line}{f' ({r.id})' if r.id else ''}: {r.expectation}: {r.reason}", markup=False)
