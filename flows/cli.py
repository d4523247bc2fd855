"""The command `selfparam`. Every command is thin: it reads its arguments, calls what does it, and prints.

What is slow to import (torch, Prefect, MLflow, Great Expectations) is imported by the command that needs it.
"""

# isort: off
import flows.quiet  # noqa: F401 - first: the libraries read it when they are imported

# isort: on
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows import batches, champion, questions
from flows.options import AsJson, InWorkspace, console, workspace
from flows.settings import section

INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    name="selfparam",
    help="A stream of experiences goes in, a model that has learnt them comes out.",
    epilog="Example: [bold]selfparam init my-model && cd my-model && selfparam ingest notes/ && selfparam run[/bold]",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
questions.add_to(app)
champion.add_to(app)


@app.command(epilog="Example: [bold]selfparam init my-model[/bold]")
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")]) -> None:
    """Make a new workspace: git, DVC, params.yaml, dvc.yaml, prefect.yaml, data/, mlflow/."""
    from flows.init import init as make

    ws, is_new = make(folder)
    said = "A new workspace" if is_new else "Already a workspace"
    console.print(
        f"{said}: [bold]{escape(str(ws.root))}[/bold]\n"
        + escape(f"Next: selfparam -C {folder} ingest FILE…, then selfparam -C {folder} run")
    )


@app.command(epilog="Example: [bold]selfparam ingest notes/ tickets.jsonl[/bold]")
def ingest(
    ctx: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help=".jsonl, .md or .txt files, or folders of them.")
    ],
    as_json: AsJson = False,
) -> None:
    """Take files in as the next batch. Tells what will be accepted, what is quarantined and why."""
    from flows import ingest as intake
    from flows import preview
    from tasks.intake import SUFFIXES
    from tasks.validate import ValidateConfig

    ws = workspace(ctx)
    config = section(ws, "validate", ValidateConfig)  # a mistake in it is told before anything is taken
    taken = intake.ingest(ws, paths)
    report = preview.preview(ws, taken.batch, config)
    if as_json:
        quarantined = [
            {**row.model_dump(exclude={"raw"}), "at": preview.place(row.line, taken.places)} for row in report.rejected
        ]
        told = {"quarantined": quarantined, "new": taken.is_new, "left_out": [str(path) for path in taken.left_out]}
        print(json.dumps({**report.model_dump(exclude={"rejected"}), **told}))
        return
    if taken.left_out:
        names = ", ".join(map(str, taken.left_out))
        console.print(f"left out, neither {', '.join(SUFFIXES)}: {names}", style="yellow", markup=False, soft_wrap=True)
    if not taken.is_new:
        console.print(f"{taken.batch} holds this content already: nothing was taken.")
    preview.show(report, console, taken.places)
    if not (ws.weights("base") / "tokenizer.json").is_file():
        console.print("Lengths are looked at by the round: the base model, which counts tokens, is not there yet.")
    if taken.batch in batches.read(ws).rejected:
        console.print(f"To have it judged again, by other settings: delete {taken.batch} in batches.yaml, and run.")
    if taken.batch in batches.pending(ws, batches.read(ws)):
        console.print("Next: selfparam run")


@app.command(epilog="Example: [bold]selfparam run[/bold] (a schedule for it stands in prefect.yaml)")
def run(ctx: typer.Context, as_json: AsJson = False) -> None:
    """One round over all that is pending: validate, synthesize, integrate, evaluate, register, gate."""
    from flows.run import close_books, is_idle, run_round

    ws = workspace(ctx)
    if is_idle(ws):
        close_books(ws)
        said = "Nothing is pending: everything that arrived is learnt."
        print(json.dumps({"learnt": []})) if as_json else console.print(said)
        return
    learnt = run_round(ws, Console(stderr=True, emoji=False) if as_json else console)
    if as_json:
        print(json.dumps({"learnt": [row.model_dump() for row in learnt]}))


@app.command(epilog="Example: [bold]selfparam status --json[/bold]")
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Batches and their states, the champion, what is pending, whether all the books agree (exit status 1 if not)."""
    from flows.status import look

    seen = look(workspace(ctx))
    print(seen.model_dump_json(indent=2)) if as_json else seen.show(console)
    if not seen.agrees:
        raise typer.Exit(1)


@app.command(epilog="Example: [bold]selfparam demo my-demo[/bold]")
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or the demo's from before.")],
) -> None:
    """Learn two days of the bundled sample stream and show what was learnt."""
    from flows.demo import demo as show

    show(folder, console)


@app.command(hidden=True)
def stage(
    ctx: typer.Context,
    name: str,
    batch: Annotated[str, typer.Argument()] = "base",
    parent: Annotated[str, typer.Option()] = "base",
) -> None:
    """Run one stage here and now: what dvc.yaml calls."""
    from flows import stages

    stages.run(workspace(ctx), stages.named(name), batch, parent)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        print(installed("selfparam"))
        raise typer.Exit()


@app.callback()
def settings(
    ctx: typer.Context,
    folder: InWorkspace = Path("."),
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    ctx.obj = folder


def main() -> None:
    """The console script: what goes wrong is one clear line and exit status 1, or 2 for a wrong use of a command."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            is_round = "flows.run" in sys.modules  # only `run` and `demo` import it
            _say("Stopped." + (" The next `selfparam run` goes on from here." if is_round else ""))
        _leave(ended.code)
    except (ValueError, OSError) as error:
        _say(f"Error: {error}")
        _leave(1)
    except Exception as error:  # a defect of ours
        if os.environ.get("SELFPARAM_TRACEBACK"):
            raise
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}:{at.lineno}"
        _say(f"Error: {type(error).__name__}: {error} ({where}). SELFPARAM_TRACEBACK=1 shows the way to it.")
        _leave(1)


def _leave(status: "str | int | None") -> None:
    """End. Where a round went wrong Prefect's threads would wait for ever to tell a server that is gone."""
    if status and "prefect" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
    sys.exit(status)


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, emoji=False).print(text, style="bold red", markup=False, highlight=False)


if __name__ == "__main__":
    main()
