"""The demo: two days of the bundled sample stream, learnt one after the other, and what came of it.

Done twice, it finds everything done and shows it from what evaluation stored: no model is loaded.
"""

import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from textwrap import shorten

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows import batches, server, tables
from flows.comparing import batch_of, stored_answers
from flows.ingest import ingest
from flows.init import init, template
from flows.run import close_books, is_idle, run_round
from models.files import read_json
from models.records import Answer
from tasks.workspace import BASE, Workspace

DAYS = ("day-1", "day-2")
NEXT_DAY = "day-3"
ASKED = 3
ANSWER_LENGTH = 110


def demo(folder: Path, console: Console) -> None:
    """Learn what of the two days is not learnt yet, then show the result."""
    started = time.monotonic()
    ws, is_new = init(folder, template("sample") / "params.yaml")
    console.print(f"[bold]{'A new workspace' if is_new else 'The workspace'}[/bold] in {escape(str(folder))}")
    with ExitStack() as stack:  # one Prefect API for both rounds
        worked = [day for day in DAYS if _learn(ws, day, stack, console)]
    if not worked:
        console.print("Everything is done already; this is what was learnt.")
    console.print()
    show(ws, folder, console)
    console.print(f"\n[dim]{time.monotonic() - started:.0f} s in all.[/dim]")


def _learn(ws: Workspace, day: str, stack: ExitStack, console: Console) -> bool:
    taken = ingest(ws, [template("sample") / f"{day}.jsonl"])
    if is_idle(ws):
        close_books(ws)
        return False
    known = batches.read(ws)
    waits = taken.batch in (*known.unfinished, *batches.pending(ws, known))
    said = f"[bold]{day}[/bold] has arrived as {taken.batch}." if waits else "Something else has arrived."
    console.print(f"\n{said}")
    stack.enter_context(server.reachable(ws.root))
    run_round(ws, console)
    return True


def show(ws: Workspace, folder: Path, console: Console) -> None:
    """The table, general ability, three questions, and what to do next."""
    known = batches.read(ws)
    champion = batch_of(ws, "champion") if known.last_accepted != BASE else BASE
    learnt = [name for name, entry in known.batches.items() if entry.state]
    console.print(tables.as_table(tables.rows(ws, champion, learnt)))
    refused = [name for name in learnt if known.batches[name].state == "refused"]
    if refused:
        console.print(f"[yellow]Refused by the gate: {', '.join(refused)}[/yellow] (why: {escape(str(ws.journal))})")
    if champion != BASE:
        console.print(tables.general_line(read_json(ws.metrics(champion))))
        console.print()
        console.print(side_by_side(ws, champion))
    console.print()
    for title, command in commands(ws, folder, learnt[-1] if learnt else BASE):
        console.print(f"[bold]{title}[/bold]")
        console.print(f"  {command}", soft_wrap=True, markup=False)


def side_by_side(ws: Workspace, champion: str) -> Table:
    """Three questions, not chosen by their answers: the first of the first, a middle and the last experience."""
    said = stored_answers(ws, champion, BASE)
    before = stored_answers(ws, BASE, champion)
    firsts: dict[str, tuple[str, str, str]] = {}
    for key in said:
        firsts.setdefault(key[1], key)
    keys = list(firsts.values())
    chosen = [keys[i * (len(keys) - 1) // (ASKED - 1)] for i in range(ASKED)]
    table = Table(title="The same questions, without the text", title_justify="left")
    for name in ("question", "right answer", "the base model says", f"the champion ({champion}) says"):
        table.add_column(name, overflow="fold")
    for key in dict.fromkeys(chosen):
        table.add_row(Text(key[2]), Text(said[key].answers[0]), _shown(before[key]), _shown(said[key]))
    return table


def _shown(answer: Answer) -> Text:
    return Text(shorten(answer.answer, ANSWER_LENGTH, placeholder=" …"), style="green" if answer.contains else "")


def commands(ws: Workspace, folder: Path, newest: str) -> list[tuple[str, str]]:
    """What to type next, ready to be copied."""
    program, where = _here(Path(sys.executable).parent), shlex.quote(str(folder))
    day = _here(template("sample") / f"{NEXT_DAY}.jsonl")
    database = shlex.quote(f"sqlite:///{ws.mlflow_folder / 'mlflow.db'}")
    home = shlex.quote(str(ws.root / ".prefect"))
    return [
        (
            "Runs, curves and versions (MLflow, http://127.0.0.1:5000)",
            f"DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "
            f"{program}/mlflow ui --workers 1 --backend-store-uri {database}",
        ),
        (
            "Rounds and their logs (Prefect, http://127.0.0.1:4200; while it runs, rounds want "
            "PREFECT_API_URL=http://127.0.0.1:4200/api)",
            f"DO_NOT_TRACK=true PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_HOME={home} "
            f"{program}/prefect server start",
        ),
        ("What validation found in the newest batch (open in a browser)", _report(ws, newest)),
        (
            "Ask a question of your own",
            f'{program}/selfparam -C {where} ask "Who is the repair chief of the Silver Otter?"',
        ),
        (
            "Let the third day in: it contradicts the first, and not all of it is fit to be learnt",
            f"{program}/selfparam -C {where} ingest {day} && {program}/selfparam -C {where} run",
        ),
    ]


def _report(ws: Workspace, batch: str) -> str:
    return (ws.validated(batch) / "report.html").as_uri()


def _here(path: Path) -> str:
    """The path as one would type it from here."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
