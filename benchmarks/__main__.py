"""Runs a stream of batches through the real stages and prints what was learnt and kept.

    python -m benchmarks sample/day-1.jsonl sample/day-2.jsonl --params sample/params.yaml
    python -m benchmarks contexts.jsonl --records 8 --set integrate.epochs=6
    python -m benchmarks contexts.jsonl --records 20 --split 2
    python -m benchmarks contexts.jsonl --records 20 --seeds 5

Each file is one batch, or as many as `--split` makes of it; each batch's parent is the one before: no gate and no
tracker, the learning alone. With several seeds the stream is learnt once with each, from the base that the first made.
"""

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import models
import tasks
from benchmarks.machine import described, parser
from benchmarks.memory import peak_memory
from flows import (
    quiet,  # noqa: F401 - first: it silences what would phone out
    settings,
    stages,
)
from flows.params import Params
from models import metrics
from models.files import lines_of, read_json, write_json
from models.model import best_device
from models.records import HistoryEntry, read_records
from tasks.evaluate import OPEN_BOOK, counted, questions
from tasks.workspace import BASE, Workspace

COLUMNS = (
    *("batch", "probes", "measure", "open book", "before", "after", "now"),
    *("after - open book (95 %)", "recovered gap (95 %)"),
)
MEASURES = {"contains": "containment", "f1": "F1", "log_likelihood": "recovered gap"}  # and what is told of each
MADE = "base.json"  # the settings with which a workspace's base was made
Batch = tuple[str, list[str]]  # what it is called in the tables, and its lines


def main() -> None:
    """Read the arguments, run the stages in a folder of their own, print tables in Markdown."""
    options = parser("benchmarks", __doc__)
    options.add_argument("files", nargs="+", type=Path, help="experience files, a batch each, oldest first")
    options.add_argument("--records", type=int, help="only the first so many records of each file")
    options.add_argument("--split", type=int, help="records a batch (default: a file is a batch)")
    options.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    options.add_argument("--seeds", type=int, default=1, help="learn with so many seeds, from `--seed` on")
    options.add_argument("--params", type=Path, help="a params.yaml to begin with (default: the defaults)")
    options.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="a setting to change")
    options.add_argument(
        "--workspace",
        type=Path,
        help="folder to work in and keep, where a killed run goes on (default: a temporary one)",
    )
    arguments = options.parse_args()
    if arguments.seeds < 1:
        options.error("--seeds: at least one")
    with tempfile.TemporaryDirectory() as scratch:
        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("selfparam").setLevel(logging.INFO)
        root = (arguments.workspace or Path(scratch)).resolve()
        given = [batch for file in arguments.files for batch in split(file, arguments.records, arguments.split)]
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        runs(root, given, [changed(arguments.set, seed, arguments.params) for seed in seeds])


def runs(root: Path, given: list[Batch], params: list[dict[str, Any]]) -> None:
    """A stream for each of `params`, which differ in their seed: one in `root`, several in folders `seed-<n>` of it."""
    if len(params) == 1:
        return run(Workspace(root), given, params[0])
    spaces = [Workspace(root / f"seed-{values['seed']}") for values in params]
    for ws, values in zip(spaces, params, strict=True):
        if ws is not spaces[0] and not ws.metrics(BASE).exists():
            with_base_of(spaces[0], ws)
        run(ws, given, values)
    print(f"\n{over_seeds(spaces, [name for name, _ in given])}")


def with_base_of(other: Workspace, ws: Workspace) -> None:
    """Copy the other workspace's base; what tells that it is there comes last."""
    for part in (other.weights, other.memory, other.validated, other.evaluation):
        shutil.copytree(part(BASE), ws.root / part(BASE).relative_to(other.root), dirs_exist_ok=True)
    if (other.root / MADE).exists():
        shutil.copy(other.root / MADE, ws.root / MADE)
    ws.metrics(BASE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(other.metrics(BASE), ws.metrics(BASE))


def split(file: Path, records: int | None, size: int | None) -> list[Batch]:
    """The first `records` lines of a file as batches of `size` lines each, with names to print."""
    lines = [f"{line}\n" for line in lines_of(file)][:records]
    if size is None:
        return [(file.name, lines)]
    starts = range(0, len(lines), size)
    return [(f"{file.name} {s + 1}-{min(s + size, len(lines))}", lines[s : s + size]) for s in starts]


def ids(batches: Sequence[Any]) -> list[str]:
    """What the stages call the batches of a stream."""
    return [f"b{number:04d}" for number in range(len(batches))]


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
    for batch, (_, lines) in zip(ids(given), given, strict=True):
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

    Raises ValueError where a section or a key is none that there is, or a value is not one that it may have, and where
    the base that it holds was made here with other settings.
    """
    wanted = {section: params.get(section) or {} for section in ("base", "evaluate")}
    made = ws.root / MADE
    ws.root.mkdir(parents=True, exist_ok=True)
    settings.checked(ws, Params, params)
    ws.params.write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
    if not ws.metrics(BASE).exists():
        stages.perform(ws, "base", BASE, BASE)
        write_json(made, wanted)
    elif made.exists() and read_json(made) != wanted:
        theirs = json.dumps(read_json(made))
        raise ValueError(f"{made}: the base here was made with {theirs}; take another folder, or delete this one")
    return ws


def tables(ws: Workspace, names: list[str], params: dict[str, Any], seconds: dict[str, dict[str, float]]) -> None:
    """Print the machine and the versions, a row a batch, and general ability."""
    print(f"\n{described()}")
    print(f"peak memory so far: {peak_memory(best_device()):.1f} GB")
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
    columns = (
        *("version", "general accuracy (base)", "KL from base on its facts", "on unrelated text"),
        *("leak (base)", "drift", "seconds"),
    )
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for batch, found in measured.items():
        general, times = found["general"], ", ".join(f"{s} {t:.0f}" for s, t in seconds[batch].items())
        accuracy = f"{general['accuracy']:.3f} ({general['accuracy_base']:.3f})"
        on_facts = "-" if general["kl_on_facts"] is None else f"{general['kl_on_facts']:.3f}"
        near = found["locality"]
        leak = f"{near['leak']:.3f} ({near['leak_base']:.3f})" if near["probes"] else "-"
        moved = f"{on_facts} | {general['kl_from_base']:.3f} | {leak} | {found['drift']['relative_l2']:.4f}"
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
    experiences = [" ".join(row) for row in scores.index]
    lines = [
        f"| over all {len(scores)} probes | open book | right after each batch | at the end | kept (95 %) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for measure, name in MEASURES.items():
        worth = worth_of(scores, measure, version)
        cells = ["-" if mean is None else f"{mean:.3f}" for mean in means_of(worth, measure)]
        after, now = worth["after"], worth["now"]
        share = f"{now.sum() / after.sum():.2f}" if after.sum() > 0 else "-"
        if interval := metrics.bootstrap_interval(list(now), experiences, over=list(after), seed=seed):
            share += " ({:.2f} to {:.2f})".format(*interval)
        lines.append(f"| {name} | {' | '.join(cells)} | {share} |")
    return "\n".join(lines)


def worth_of(scores: pd.DataFrame, measure: str, version: str) -> pd.DataFrame:
    """Probe by probe what the open book scores, each batch's version right after it, and `version` now; of the
    log-likelihood what each gains on the base."""
    found = scores[measure]
    own = [found[batch].iloc[i] for i, batch in enumerate(scores.index.get_level_values(0))]
    worth = pd.DataFrame({"open book": found[OPEN_BOOK], "after": own, "now": found[version]})
    return worth.sub(found[BASE], axis=0) if measure == "log_likelihood" else worth


def means_of(worth: pd.DataFrame, measure: str) -> list[float | None]:
    """The means of `worth_of`; of the log-likelihood as shares of what the open book gains, the recovered gap."""
    means = list(worth.mean())
    return [metrics.recovered_gap(means[0], 0.0, mean) for mean in means] if measure == "log_likelihood" else means


def over_seeds(spaces: Sequence[Workspace], names: Sequence[str]) -> str:
    """A table of the means over workspaces that learnt the same batches, with the least and the most.

    A row a batch: what its probes score right after it and at the end, and how its version does otherwise; and a row
    for the probes of all batches, with the last version. Gaps count from what the base knew.
    """
    called = dict(zip(ids(names), names, strict=True)) | {"all": "all"}
    *batches, every = called
    rows: dict[str, list[dict[str, float | None]]] = {batch: [] for batch in called}
    for ws in spaces:
        scores = scored(ws, batches[-1])
        for batch in batches:
            own = scores[scores.index.get_level_values(0) == batch]
            rows[batch].append(told_of(own, batches[-1]) | held_by(read_json(ws.metrics(batch))))
        rows[every].append(told_of(scores, batches[-1]) | held_by(read_json(ws.metrics(batches[-1]))))
    if len(batches) == 1:
        del rows[every]
    columns = list(next(iter(rows.values()))[0])
    lines = [
        f"| mean of {len(spaces)} seeds (least to most) | {' | '.join(columns)} |",
        f"|{' --- |' * (len(columns) + 1)}",
    ]
    for batch, found in rows.items():
        table = pd.DataFrame(found, dtype=float)
        cells = [
            f"{c.mean():.3f} ({c.min():.3f} to {c.max():.3f})" if c.notna().any() else "-" for _, c in table.items()
        ]
        lines.append(f"| {called[batch]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def told_of(scores: pd.DataFrame, version: str) -> dict[str, float | None]:
    """What these probes score, by the name of its column."""
    told: dict[str, float | None] = {}
    for measure, name in MEASURES.items():
        opened, after, now = means_of(worth_of(scores, measure, version), measure) if len(scores) else [None] * 3
        if measure != "log_likelihood":  # the open book's own gap is 1
            told[f"{name}, open book"] = opened
        told |= {f"{name} after": after, f"{name} now": now}
    return told


def held_by(found: dict[str, Any]) -> dict[str, float | None]:
    """From a version's metrics what it does to all that is not new."""
    general, near = found["general"], found["locality"]
    return {
        "general accuracy": general["accuracy"],
        "KL on facts": general["kl_on_facts"],
        "KL from base": general["kl_from_base"],
        "leak": near["leak"] if near["probes"] else None,
    }


if __name__ == "__main__":
    main()
