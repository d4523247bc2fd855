"""The commands that ask: `ask`, `evaluate` and `compare`."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from flows.options import AsJson, console, workspace
from flows.settings import register_config
from tasks.workspace import Workspace

Version = Annotated[
    str, typer.Option("--version", metavar="VERSION", help="base, champion, a version's number or a batch's name.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog='Example: [bold]selfparam ask "Who repairs the Silver Otter?" --version champion[/bold]')(ask)
    app.command(epilog="Example: [bold]selfparam evaluate day-1.jsonl --version champion --json[/bold]")(evaluate)
    app.command(epilog="Example: [bold]selfparam compare base champion[/bold]")(compare)


def ask(
    ctx: typer.Context,
    question: Annotated[
        str | None, typer.Argument(help="One question. Without it: a line each from the input.")
    ] = None,
    version: Version = "champion",
    context: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A text to read first.")] = None,
    questions: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help='A file with {"id", "question"} a line.')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help='The file that gets {"id", "question", "answer"} a line.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One answer, or a file of questions answered in batches. Greedy: the same question has the same answer."""
    if (questions is None) != (out is None) or (questions is not None and question is not None):
        raise typer.BadParameter("Give one QUESTION, or --questions FILE.jsonl together with --out FILE.jsonl.")
    ws = workspace(ctx)
    _must_exist(ws, version)
    from flows import answering
    from tasks import intake

    text = intake.text_of(context) if context else None
    asked = answering.read_questions(questions) if questions else []
    lm = answering.version(ws, version)
    if questions and out:
        answering.write_answers(out, asked, answering.ask(ws, lm, [q["question"] for q in asked], text))
        if as_json:
            print(json.dumps({"version": version, "answers": len(asked), "out": str(out)}, ensure_ascii=False))
        else:
            console.print(f"{len(asked)} answers by {version} in {out}", markup=False)
        return
    for line in [question] if question is not None else _typed():
        said = answering.ask(ws, lm, [line], text)[0]
        print(
            json.dumps({"version": version, "question": line, "answer": said}, ensure_ascii=False) if as_json else said
        )


def evaluate(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An experience file with probes.")],
    version: Version = "champion",
    as_json: AsJson = False,
) -> None:
    """Efficacy on any experience file: open book by the base, closed book by the base and by that version."""
    ws = workspace(ctx)
    _must_exist(ws, version)
    from flows import answering
    from tasks import intake

    experiences, wrong = intake.experiences(file)
    for number, reason in wrong.items():
        typer.echo(f"{file}:{number}: left out: {reason}", err=True)
    found = answering.totals(version, answering.examine(ws, experiences, version))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console.print(_as_table(found))


def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="base, champion, a version's number or a batch's name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    as_json: AsJson = False,
) -> None:
    """Two versions side by side: metrics, what each answers to the probes where they differ, and which of the simple
    facts of general ability one of them alone answers rightly."""
    from flows import comparing

    ws = workspace(ctx)
    first, second = comparing.batch_of(ws, a), comparing.batch_of(ws, b)
    if not as_json:
        comparing.show(ws, first, second, console)
        return
    asked, found = comparing.differences(ws, first, second)
    print(
        json.dumps(
            {
                "a": {"version": first, "figures": comparing.figures(ws, first)},
                "b": {"version": second, "figures": comparing.figures(ws, second)},
                "b_minus_a": comparing.paired(ws, first, second),
                "probes": asked,
                "differences": [asdict(d) for d in found],
                "simple_facts": [asdict(d) for d in comparing.turned_facts(ws, first, second)],
            },
            indent=2,
            ensure_ascii=False,
        )
    )


def _must_exist(ws: Workspace, version: str) -> None:
    """Say at once that there is no such version: importing torch takes seconds."""
    from tasks import registry

    registry.which(ws, register_config(ws), version)


def _typed() -> Iterator[str]:
    """Questions a line each: typed by a person until an empty line, or read from a pipe until its end."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    while True:
        try:
            line = console.input("[bold]? [/bold]").strip()
        except EOFError:
            return
        if not line:
            return
        yield line


def _as_table(found: dict[str, Any]) -> Table:
    """What was examined, for people. Texts go in as they are: rich would read a bracket in them as a style."""
    from flows.answering import KINDS

    version = found["version"]
    table = Table(title=f"{found['probes']} probes, version {version}", title_justify="left")
    for name in ("question", "right", "open book, base", "closed book, base", f"closed book, {version}"):
        table.add_column(name, overflow="fold")
    for probe in found["answers"]:
        texts = (Text(probe["question"]), Text(probe["answers"][0]))
        table.add_row(*texts, *(_marked(probe[kind]) for kind in KINDS))
    table.add_section()
    totals = [found[kind] for kind in KINDS]
    for key, name in (("f1", "F1"), ("exact", "exact"), ("contains", "contains")):
        table.add_row(f"[bold]{name}[/bold]", "", *(f"{total[key]:.2f}" for total in totals))
    return table


def _marked(said: dict[str, str | float]) -> Text:
    return Text(str(said["answer"]), style="green" if said["contains"] else "")
