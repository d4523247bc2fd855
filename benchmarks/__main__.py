"""Runs a stream of batches through the real stages and prints what was learnt and kept.

    python -m benchmarks sample/day-1.jsonl sample/day-2.jsonl --params sample/params.yaml
    python -m benchmarks contexts.jsonl --records 8 --set integrate.epochs=6
    python -m benchmarks contexts.jsonl --records 20 --split 2

Each file is one batch, or as many as `--split` makes of it; each batch's parent is the one before: no gate and no
tracker, the learning alone.
"""

import argparse
import hashlib
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import models
import tasks
from benchmarks.machine import described
from flows import (
    quiet,  # noqa: F401 - first: it silences what would phone out
    settings,
    stages,
)
from flows.params import Params
from models import metrics
from models.files import lines_of, read_json, write_json
from models.records import HistoryEntry, read_records
from tasks.evaluate import OPEN_BOOK, counted, questions
from tasks.workspace import BASE, Workspace

COLUMNS = (
    *("batch", "probes", "measure", "open book", "before", "after", "now"),
    *("after - open book (95 %)", "recovered gap (95 %)"),
)
MEASURES = {"contains": "containment", "f1": "F1", "log_likelihood": "recovered gap"}  # and what is told of each
Batch = tuple[str, list[str]]  # what it is called in the tables, and its lines


def main() -> None:
    """Read the arguments, run the stages in a folder of their own, print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="experience files, a batch each, oldest first")
    parser.add_argument("--records", type=int, help="only the first so many records of each file")
    parser.add_argument("--split", type=int, help="records a batch (default: a file is a batch)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--params", type=Path, help="a params.yaml to begin with (default: the defaults)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="a setting to change")
    parser.add_argument(
        "--workspace",
        type=Path,
        help="folder to work in and keep, where a killed run goes on (default: a temporary one)",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("selfparam").setLevel(logging.INFO)
        ws = Workspace((arguments.workspace or Path(scratch)).resolve())
        given = [batch for file in arguments.files for batch in split(file, arguments.records, arguments.split)]
        run(ws, given, changed(arguments.set, arguments.seed, arguments.params))


def split(file: Path, records: int | None, size: int | None) -> list[Batch]:
    """The first `records` lines of a file as batches of `size` lines each, with names to print."""
    lines = [f"{line}\n" for line in lines_of(file)][:records]
    if size is None:
        return [(file.name, lines)]
    starts = range(0, len(lines), size)
    return [(f"{file.name} {s + 1}-{min(s + size, len(lines))}", lines[s : s + size]) for s in starts]


def changed(assignments: list[str], seed: int, params: Path | None = None) -> dict[str, Any]:
    """The content of a `params.yaml` that changes the defaults, or those of the file `params`."""
    values: dict[str, Any] = (yaml.safe_load(params.read_text(encoding="utf-8")) if params else {}) | {"seed": seed}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        section, _, key = name.partition(".")
        if not value or not key:
            raise SystemExit(f"--set {assignment}: write it as section.key=value, such as integrate.epochs=6")
        try:
            read = json.loads(value)
        except json.JSONDecodeError:
            read = value  # a word
        values.setdefault(section, {})[key] = read
    return values


def run(ws: Workspace, given: list[Batch], params: dict[str, Any]) -> None:
    """All stages of all batches, then the tables.

    What was done in this workspace with the same code, settings and batches is not done again: a killed run goes on.
    """
    prepared(ws, params)
    source = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for file in sorted(file for package in (models, tasks) for file in Path(package.__path__[0]).glob("*.py")):
        source.update(file.read_bytes())
    seconds: dict[str, dict[str, float]] = {}
    parent = BASE
    for number, (_, lines) in enumerate(given):
        batch = f"b{number:04d}"
        ws.raw_folder.mkdir(parents=True, exist_ok=True)
        ws.raw(batch).write_text("".join(lines), encoding="utf-8")
        source.update("".join(lines).encode())
        seconds[batch] = learnt(ws, batch, parent, source.hexdigest())
        parent = batch
    tables(ws, [name for name, _ in given], params, seconds)


def learnt(ws: Workspace, batch: str, parent: str, source: str) -> dict[str, float]:
    """Run the stages of a batch; returns the seconds of each. Those that ran before, from the same `source`, do not run
    again; one that was killed counts from where it goes on."""
    file = ws.root / "seconds" / f"{batch}.json"
    done = read_json(file) if file.exists() else {}
    seconds: dict[str, float] = done["seconds"] if done.get("source") == source else {}
    for stage in stages.OF_A_BATCH:
        if stage not in seconds:
            started = time.monotonic()
            stages.perform(ws, stage, batch, parent)
            seconds[stage] = time.monotonic() - started
            write_json(file, {"source": source, "seconds": seconds})
    return seconds


def prepared(ws: Workspace, params: dict[str, Any]) -> Workspace:
    """A workspace with these settings and a base: the one that it holds, or one made now.

    Raises ValueError where a section or a key is none that there is, or a value is not one that it may have.
    """
    ws.root.mkdir(parents=True, exist_ok=True)
    settings.checked(ws, Params, params)
    ws.params.write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
    if not ws.metrics(BASE).exists():
        stages.perform(ws, "base", BASE, BASE)
    return ws


def tables(ws: Workspace, names: list[str], params: dict[str, Any], seconds: dict[str, dict[str, float]]) -> None:
    """Print the machine and the versions, a row a batch, and general ability."""
    print(f"\n{described()}")
    print(f"changed settings: {json.dumps(params)}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    measured = {batch: read_json(ws.metrics(batch)) for batch in seconds}
    last = list(measured.values())[-1]
    for (batch, found), name in zip(measured.items(), names, strict=True):
        learnt = found["efficacy"]
        if not learnt["probes"]:
            continue
        now = last["retention"].get(batch, learnt["closed_book"])
        gap = "-" if learnt["recovered_gap"] is None else f"{learnt['recovered_gap']:.2f}"
        if learnt["recovered_gap_interval"] is not None:
            gap += " ({:.2f} to {:.2f})".format(*learnt["recovered_gap_interval"])
        scores = scored(ws, batch)
        own = scores[scores.index.get_level_values(0) == batch].droplevel(0)
        for measure in MEASURES:
            cells = [learnt["open_book"], learnt["closed_book_before"], learnt["closed_book"], now]
            row = " | ".join(f"{cell[measure]:.3f}" for cell in cells)
            beyond = difference(own[measure, batch] - own[measure, OPEN_BOOK], params["seed"])
            print(f"| {name} | {learnt['probes']} | {measure} | {row} | {beyond} | {gap} |")
    if len([found for found in measured.values() if found["efficacy"]["probes"]]) > 1:
        print(f"\n{kept(ws, list(measured)[-1], params['seed'])}")
    print("\n| version | general accuracy (base) | KL from base, unrelated | leak (base) | drift | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for batch, found in measured.items():
        general, times = found["general"], ", ".join(f"{s} {t:.0f}" for s, t in seconds[batch].items())
        accuracy = f"{general['accuracy']:.3f} ({general['accuracy_base']:.3f})"
        near = found["locality"]
        leak = f"{near['leak']:.3f} ({near['leak_base']:.3f})" if near["probes"] else "-"
        moved = f"{general['kl_from_base']:.3f} | {leak} | {found['drift']['relative_l2']:.4f}"
        print(f"| {batch} | {accuracy} | {moved} | {times} |")


def scored(ws: Workspace, version: str) -> pd.DataFrame:
    """What the probes that count score: a row each, indexed by batch and experience; a column for each measure and
    version, the open book among them, up to `version`."""
    probes = questions(read_records(ws.validated(version) / "history.jsonl", HistoryEntry))
    mine = counted(probes)
    scores = pd.read_csv(ws.evaluation(version) / "scores.csv", dtype={"version": str, "batch": str})
    found = scores.pivot(index="probe", columns="version", values=list(MEASURES)).loc[mine]
    return found.set_axis([[probes[i].batch for i in mine], [probes[i].experience for i in mine]])


def difference(beyond: pd.Series, seed: int) -> str:
    """The mean of differences, probe by probe, with its interval over experiences, which are their index."""
    text = f"{beyond.mean():+.3f}"
    if interval := metrics.bootstrap_interval(list(beyond), list(beyond.index), seed=seed):
        text += " ({:+.3f} to {:+.3f})".format(*interval)
    return text


def kept(ws: Workspace, version: str, seed: int) -> str:
    """A table of what all batches up to `version` are worth at the end, beside what each was right after it was learnt.

    Means over the probes that count in the stage's retention matrix, the open book and the base's answers beside them.
    The recovered gap counts from what the base knew, not from what the parent did. `kept` is the share of the two, with
    its interval over experiences; none where an experience alone could turn what was learnt to nothing.
    """
    scores = scored(ws, version)
    batches, experiences = scores.index.get_level_values(0), [" ".join(row) for row in scores.index]
    lines = [
        f"| over all {len(scores)} probes | open book | right after each batch | at the end | kept (95 %) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for measure, name in MEASURES.items():
        found = scores[measure]
        opened, now = found[OPEN_BOOK], found[version]
        after = pd.Series([found[batch].iloc[i] for i, batch in enumerate(batches)], index=found.index)
        means: list[float | None]
        if measure == "log_likelihood":
            opened, after, now = (column - found[BASE] for column in (opened, after, now))
            means = [metrics.recovered_gap(opened.mean(), 0.0, column.mean()) for column in (opened, after, now)]
        else:
            means = [column.mean() for column in (opened, after, now)]
        cells = ["-" if mean is None else f"{mean:.3f}" for mean in means]
        share = f"{now.sum() / after.sum():.2f}" if after.sum() > 0 else "-"
        if interval := metrics.bootstrap_interval(list(now), experiences, over=list(after), seed=seed):
            share += " ({:.2f} to {:.2f})".format(*interval)
        lines.append(f"| {name} | {' | '.join(cells)} | {share} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
