"""Runs a stream of batches through the real stages and prints what was learnt and kept.

    python -m benchmarks sample/day-1.jsonl sample/day-2.jsonl
    python -m benchmarks contexts.jsonl --records 8 --set integrate.epochs=6

Each file is one batch, each batch's parent the one before: no gate and no tracker, the learning alone.
"""

import argparse
import json
import logging
import platform
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from flows import (
    quiet,  # noqa: F401 - first: it silences what would phone out
    settings,
    stages,
)
from models.files import read_json
from tasks.workspace import BASE, Workspace


def main() -> None:
    """Read the arguments, run the stages in a folder of their own, print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="experience files, a batch each, oldest first")
    parser.add_argument("--records", type=int, help="only the first so many records of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="a setting to change")
    parser.add_argument("--workspace", type=Path, help="folder to work in and keep (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("selfparam").setLevel(logging.INFO)
        ws = Workspace((arguments.workspace or Path(scratch)).resolve())
        run(ws, arguments.files, arguments.records, changed(arguments.set, arguments.seed))


def changed(assignments: list[str], seed: int) -> dict[str, Any]:
    """The content of a `params.yaml` that changes the defaults."""
    values: dict[str, Any] = {"seed": seed}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        section, _, key = name.partition(".")
        if not value or not key:
            raise SystemExit(f"--set {assignment}: write it as section.key=value, such as integrate.epochs=6")
        values.setdefault(section, {})[key] = json.loads(value) if value[:1] in "0123456789-[{tfn" else value
    return values


def run(ws: Workspace, files: list[Path], records: int | None, params: dict[str, Any]) -> None:
    """All stages of all batches, then the tables."""
    ws.root.mkdir(parents=True, exist_ok=True)
    ws.params.write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
    settings.read(ws)
    seconds: dict[str, dict[str, float]] = {}
    if not ws.metrics(BASE).exists():
        stages.perform(ws, "base", BASE, BASE)
    parent = BASE
    for number, file in enumerate(files):
        batch = f"b{number:04d}"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)[:records]
        ws.raw_folder.mkdir(parents=True, exist_ok=True)
        ws.raw(batch).write_text("".join(lines), encoding="utf-8")
        seconds[batch] = {}
        for stage in stages.OF_A_BATCH:
            started = time.monotonic()
            stages.perform(ws, stage, batch, parent)
            seconds[batch][stage] = time.monotonic() - started
        parent = batch
    tables(ws, files, params, seconds)


def tables(ws: Workspace, files: list[Path], params: dict[str, Any], seconds: dict[str, dict[str, float]]) -> None:
    """Print the machine and the versions, a row a batch, and general ability."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("selfparam", "torch", "transformers"))
    print(f"\n{platform.processor() or platform.machine()}, Python {platform.python_version()}, {versions}")
    print(f"changed settings: {json.dumps(params)}\n")
    print("| batch | probes | measure | open book | before | after | now | recovered gap (95 %) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    last = read_json(ws.metrics(list(seconds)[-1]))
    for batch, file in zip(seconds, files, strict=True):
        learnt = read_json(ws.metrics(batch))["efficacy"]
        now = last["retention"].get(batch, last["efficacy"]["closed_book"])
        for measure in ("contains", "f1", "log_likelihood"):
            cells = [learnt["open_book"], learnt["closed_book_before"], learnt["closed_book"], now]
            row = " | ".join(f"{cell[measure]:.3f}" for cell in cells)
            gap = "-"
            if learnt["recovered_gap"] is not None:
                low, high = learnt["recovered_gap_interval"]
                gap = f"{learnt['recovered_gap']:.2f} ({low:.2f} to {high:.2f})"
            print(f"| {file.name} | {learnt['probes']} | {measure} | {row} | {gap} |")
    print("\n| version | general accuracy (base) | KL from base, unrelated | drift | seconds a stage |")
    print("| --- | --- | --- | --- | --- |")
    for batch, spent in seconds.items():
        found = read_json(ws.metrics(batch))
        general, times = found["general"], ", ".join(f"{s} {t:.0f}" for s, t in spent.items())
        accuracy = f"{general['accuracy']:.3f} ({general['accuracy_base']:.3f})"
        moved = f"{general['kl_from_base']:.3f} | {found['drift']['relative_l2']:.4f}"
        print(f"| {batch} | {accuracy} | {moved} | {times} |")


if __name__ == "__main__":
    main()
