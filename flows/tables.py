"""What the metrics of the versions say, as rows: for the demo's table and the round's artifact.

It reads `data/metrics` and `data/retention`; it loads no model and asks no tracker.
"""

import csv
import re
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from flows import batches
from flows.comparing import turned_facts
from models.files import read_json
from tasks.gate import Verdict
from tasks.registry import RegisteredVersion
from tasks.workspace import BASE, Workspace

Scores = dict[str, float]
_MARKS = re.compile(r"[|!<>\[\]`*_\\]")
SHOWN = (("f1", 2), ("contains", 2), ("log_likelihood", 1))  # with how many decimals


@dataclass(frozen=True)
class Row:
    """How well one batch is known: by the base with the text in front of it, before it was learnt, after, and now."""

    batch: str
    probes: int
    open_book: Scores | None
    before: Scores | None
    after: Scores | None
    now: Scores | None


def lineage(ws: Workspace, version: str) -> list[str]:
    """The batches that a version has learnt, oldest first."""
    return batches.read(ws).lineage(version)[-2::-1]


def rows(ws: Workspace, version: str, learnt: list[str]) -> list[Row]:
    """A row for each batch in `learnt`; `now` is what `version` knows of it today."""
    matrix = read_matrix(ws, version)
    found = []
    for batch in learnt:
        efficacy = read_json(ws.metrics(batch))["efficacy"]
        opened, before, after = (efficacy.get(kind) for kind in ("open_book", "closed_book_before", "closed_book"))
        found.append(Row(batch, efficacy["probes"], opened, before, after, matrix.get((version, batch))))
    return found


def read_matrix(ws: Workspace, version: str) -> dict[tuple[str, str], Scores]:
    """The matrix of version against batch, `(version, batch)` to scores; empty where there is none."""
    path = ws.retention(version)
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {
            (row["version"], row["batch"]): {key: float(row[key]) for key, _ in SHOWN if row[key]}
            for row in csv.DictReader(lines)
        }


def as_table(found: list[Row]) -> Table:
    """For a terminal, 80 columns wide."""
    title = "What was learnt, by questions kept out of training\nF1, containment, log-likelihood"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("batch")
    table.add_column("probes", justify="right")
    for name in ("open book\n(upper bound)", "closed book\nbefore", "closed book\nafter", "now\n(retention)"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found:
        scores = (cell(s, " ") for s in (row.open_book, row.before, row.after, row.now))
        table.add_row(row.batch, str(row.probes), *scores)
    return table


def cell(scores: Scores | None, between: str = " · ") -> str:
    """F1, containment and log-likelihood in one cell."""
    if not scores:
        return "-"
    return between.join("-" if scores.get(key) is None else f"{scores[key]:.{digits}f}" for key, digits in SHOWN)


def general_line(metrics: dict[str, Any]) -> str:
    """General ability before and after, what leaks onto neighbours, and what is said where facts have changed."""
    general, near = metrics["general"], metrics.get("locality") or {"probes": 0}
    turned = f" ({general['lost']} lost, {general['won']} won)" if "lost" in general else ""
    line = (
        f"General ability: {general['accuracy_base']:.2f} before, {general['accuracy']:.2f} after{turned}, "
        f"of {general['facts']} simple facts; perplexity on unrelated text {general['perplexity_base']:.1f} before, "
        f"{general['perplexity']:.1f} after; KL from the base {general['kl_from_base']:.3f} nats per token."
    )
    if near["probes"]:
        line += (
            f" Of {near['probes']} near misses (a probe about another name) {near['leak']:.0%} are answered with the "
            f"new fact, which is not theirs."
        )
    again = metrics.get("superseded") or {"probes": 0}
    if again["probes"]:
        line += (
            f" Of {again['probes']} probes that a later batch answers otherwise {again['new']:.0%} are given the new "
            f"answer and {again['old']:.0%} the old one."
        )
    return line


def as_markdown(ws: Workspace, version: RegisteredVersion, verdict: Verdict) -> str:
    """For Prefect's artifact of a round: the table, the verdict and where to look."""
    head = "| batch | probes | open book | before | after | now |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
    body = "".join(
        f"| {r.batch} | {r.probes} | {cell(r.open_book)} | {cell(r.before)} | {cell(r.after)} | {cell(r.now)} |\n"
        for r in rows(ws, version.batch, lineage(ws, version.batch))
    )
    said = "accepted" if verdict.accepted else "refused"
    reasons = "".join(f"- {reason}\n" for reason in verdict.reasons)
    links = "".join(  # as text: browsers follow no file:// of a page that came over http
        f"- {name}: `{path}`\n"
        for name, path in (
            ("validation report", ws.validated(version.batch) / "report.html"),
            ("evaluation and plots", ws.evaluation(version.batch)),
            ("training curve", ws.training(version.batch)),
            ("metrics", ws.metrics(version.batch)),
        )
    )
    return (
        f"# {version.batch}: version {version.number} {said}\n\n"
        f"Scores: F1 · contains · log-likelihood.\n\n{head}{body}\n"
        f"{general_line(read_json(ws.metrics(version.batch)))}\n\n{facts_as_markdown(ws, version.batch)}"
        f"## The gate\n\n{reasons}\n## Look\n\n{links}"
        f"- MLflow run `{version.run_id}`\n"
    )


def facts_as_markdown(ws: Workspace, batch: str) -> str:
    """The simple facts that a version answers rightly and the base does not, or the other way round; or nothing."""
    found = turned_facts(ws, BASE, batch)
    cells = ([d.question, d.gold[0], d.a, d.b] for d in found)
    body = "".join(f"| {' | '.join(map(_plain, row))} |\n" for row in cells)
    head = f"| question | right | the base says | {batch} says |\n| --- | --- | --- | --- |\n"
    return f"## Simple facts lost or won\n\n{head}{body}\n" if found else ""


def _plain(text: str) -> str:
    """`text` in one line that Markdown reads as such: what a model says may hold a link or a picture to be fetched."""
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", " ".join(text.split()))


def rejected_as_markdown(ws: Workspace, batch: str, reason: str) -> str:
    """The same of a batch of which nothing is learnt."""
    report = ws.validated(batch) / "report.html"
    return f"# {batch}: rejected whole\n\n{_plain(reason)}\n\n- validation report: `{report}`\n"
