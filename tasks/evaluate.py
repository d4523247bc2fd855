"""The stage `evaluate`: what a version learnt, kept and lost.

Efficacy on its own batch, what of it leaks onto its neighbours, retention on every earlier one, general ability, drift.
Answers and matrix are cumulative: those of the parent and what is new.

Run it: `selfparam stage evaluate b0001 --parent b0000`.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import pandas as pd

from models import metrics, model
from models.configs import EvaluateConfig
from models.evaluate import (
    MEASURES,
    Question,
    answer_facts,
    answer_probes,
    containment,
    kl_from_base,
    locality,
    mean_scores,
    neighbours,
    relative_l2,
    turned,
    unrelated_text,
)
from models.files import read_json, write_json, written_aside
from models.memory import load_sentences
from models.metrics import bootstrap_interval, contains, normalise, recovered_gap
from models.records import Answer, HistoryEntry, Reply, read_records, write_records
from tasks.bundle import general_facts
from tasks.plots import plot_retention
from tasks.workspace import BASE, Workspace

log = logging.getLogger("selfparam")

OPEN_BOOK = "open_book"
COLUMNS = ["version", "batch", "probes", *MEASURES]
SCORES = ["version", "batch", "probe", *MEASURES]  # `probe` counts the probes of the history from 0
_STREAM = ("f1", "contains", "log_likelihood")


def evaluate(ws: Workspace, batch: str, parent: str, config: EvaluateConfig, seed: int) -> None:
    """Write the folder `data/evaluation/<batch>`, `data/retention/<batch>.csv` and `data/metrics/<batch>.json`."""
    history = read_records(ws.validated(batch) / "history.jsonl", HistoryEntry)
    probes = questions(history)
    mine = [q for q in probes if q.batch == batch]
    before = ws.evaluation(parent)

    base = model.load(ws.weights(BASE))
    context = {(e.batch, e.experience.id): e.experience.text for e in history}
    opened = [Question(q.batch, q.experience, q.probe, context[q.batch, q.experience]) for q in mine]
    open_book = answer_probes(base, opened, config, name="open book")
    near = neighbours([q for q in mine if is_to_learn(q.probe.kind)], " ".join(context.values()))
    by_base = answer_probes(base, [*mine, *near], config, name="closed book by the base")
    base_now, near_base = by_base[: len(mine)], by_base[len(mine) :]
    if parent == BASE:
        parent_now = base_now
    else:
        parent_now = answer_probes(model.load(ws.weights(parent)), mine, config, name=f"closed book by {parent}")
    lm = model.load(ws.weights(batch))
    by_this = answer_probes(lm, [*probes, *near], config, name=f"closed book by {batch}")
    now, near_now = by_this[: len(probes)], by_this[len(probes) :]

    # Only the probes of this batch are new, and they are the last.
    first = len(probes) - len(mine)
    rows = [
        *_scores(OPEN_BOOK, open_book, first),
        *_scores(BASE, base_now, first),
        *(_scores(parent, parent_now, first) if parent != BASE else []),
        *_scores(batch, now, 0),
    ]
    names = {"version": str, "batch": str}
    earlier = [pd.read_csv(before / "scores.csv", dtype=names)] if parent != BASE else []
    scores = pd.concat([*earlier, pd.DataFrame(rows, columns=SCORES)], ignore_index=True)
    matrix = table(scores, counted(probes))

    facts = answer_facts(lm, general_facts(), config)
    log.info("evaluate %s: drift", batch)
    general = general_ability(ws, lm, base, facts)
    drift = {"relative_l2": relative_l2(lm, base)}
    with written_aside(ws.evaluation(batch)) as aside:
        aside.mkdir()
        scores.to_csv(aside / "scores.csv", index=False)
        write_records(aside / "answers.jsonl", now)
        write_records(aside / "open_book.jsonl", [*_past(before / "open_book.jsonl"), *open_book])
        write_records(aside / "base.jsonl", [*_past(before / "base.jsonl"), *base_now])
        write_records(aside / "before.jsonl", parent_now)
        write_records(aside / "locality.jsonl", near_now)
        write_records(aside / "locality_base.jsonl", near_base)
        write_records(aside / "general.jsonl", facts)
        write_json(aside / "general.json", general | drift)
        if len(matrix):
            plot_retention(matrix, aside / "plots" / "retention.png", aside / "plots" / "retention.json")
    with written_aside(ws.retention(batch)) as aside:
        matrix.to_csv(aside, index=False)
    mine_now = [a for a in now if a.batch == batch]
    write_json(
        ws.metrics(batch),
        {
            "version": batch,
            "parent": parent,
            "efficacy": efficacy(open_book, base_now, parent_now, mine_now, seed=seed),
            **stream(matrix, batch, parent, _order(history)),
            "superseded": superseded(probes, now),
            "locality": (locality(base, lm, near_base, near_now) if near else {"probes": 0})
            | {"given": unchanged(parent_now, mine_now)},
            "general": general,
            "drift": drift,
        },
    )


def questions(history: Sequence[HistoryEntry]) -> list[Question]:
    """All probes so far. One that a later batch asks again, and none of whose answers is right any more, is superseded:
    its kind says so."""
    asked = [(normalise(probe.question), entry, probe) for entry in history for probe in entry.experience.probes]
    last_asked = {question: entry.batch for question, entry, _ in asked}
    right: dict[str, dict[str, str]] = defaultdict(dict)  # by question, what the last batch that asks it takes as right
    for question, entry, probe in asked:
        if entry.batch == last_asked[question]:
            right[question].update({normalise(answer): answer for answer in probe.answers})
    result = []
    for question, entry, probe in asked:
        right_now: tuple[str, ...] = ()
        if right[question].keys().isdisjoint(map(normalise, probe.answers)):
            right_now = tuple(right[question].values())
            probe = probe.model_copy(update={"kind": "superseded"})
        result.append(Question(entry.batch, entry.experience.id, probe, right_now=right_now))
    return result


def is_to_learn(kind: str) -> bool:
    """Whether a probe of this kind asks for what a batch tells; the others ask for what shall stay as it was."""
    return kind != "locality"


def counted(probes: Sequence[Question]) -> list[int]:
    """Which of the probes tell what a version holds: they ask for what a batch tells, and nothing has superseded it."""
    return [i for i, q in enumerate(probes) if is_to_learn(q.probe.kind) and not q.right_now]


def superseded(probes: Sequence[Question], said: Sequence[Answer]) -> dict[str, Any]:
    """Of the probes whose answer is another one by now: the share that is given the new one, and that is given the
    old, in [0, 1]."""
    again = [(q, a) for q, a in zip(probes, said, strict=True) if q.right_now]
    if not again:
        return {"probes": 0}
    new = [contains(a.answer, q.right_now) for q, a in again]
    return {
        "probes": len(again),
        "new": sum(new) / len(again),
        "old": sum(a.contains for _, a in again) / len(again),
    }


def unchanged(before: Sequence[Answer], now: Sequence[Answer]) -> dict[str, Any]:
    """The probes of the kind `locality` that came with the batch, whose answers it shall not change: the share that is
    answered rightly before and now, in [0, 1]."""
    pairs = [(b, n) for b, n in zip(before, now, strict=True) if not is_to_learn(n.kind)]
    if not pairs:
        return {"probes": 0}
    shares = (containment(column) for column in zip(*pairs, strict=True))
    return {"probes": len(pairs), **dict(zip(("before", "now"), shares, strict=True))}


def efficacy(
    open_book: Sequence[Answer], base: Sequence[Answer], before: Sequence[Answer], now: Sequence[Answer], *, seed: int
) -> dict[str, Any]:
    """How well a version answers about its own batch, beside what bounds it; no scores where there are no probes.

    Probes of the kind `locality` are left out but of `closed_book_by_kind`: they ask for nothing of the batch.
    """
    by_kind = {kind: mean_scores([a for a in now if a.kind == kind]) for kind in sorted({a.kind for a in now})}
    learnt_N = [is_to_learn(a.kind) for a in now]
    open_book, base, before, now = (list(compress(column, learnt_N)) for column in (open_book, base, before, now))
    if not now:
        return {"probes": 0, "recovered_gap": None}
    scores = {
        "open_book": mean_scores(open_book),
        "closed_book_base": mean_scores(base),
        "closed_book_before": mean_scores(before),
        "closed_book": mean_scores(now),
    }
    means = [mean_scores(a) for a in (open_book, before, now)]
    gap = recovered_gap(*[m["log_likelihood"] for m in means if m])
    experiences = [a.experience for a in now]
    gain = [n.contains - b.contains for n, b in zip(now, before, strict=True)]
    learnt, to_learn = (
        [a.log_likelihood - b.log_likelihood for a, b in zip(column, before, strict=True)]
        for column in (now, open_book)
    )
    interval = bootstrap_interval(learnt, experiences, over=to_learn, seed=seed) if gap is not None else None
    return {
        "probes": len(now),
        **scores,
        "recovered_gap": gap,
        "recovered_gap_interval": interval,
        "gain_contains_interval": bootstrap_interval(gain, experiences, seed=seed),
        "closed_book_by_kind": by_kind,
    }


def table(scores: pd.DataFrame, counted: Sequence[int]) -> pd.DataFrame:
    """Mean scores of every version on every batch, all over the same `counted` probes.

    Superseded probes are left out of every row: that a version no longer gives an old answer is no loss, and
    means over different probes could not be compared.
    """
    groups = scores[scores.probe.isin(counted)].groupby(["version", "batch"], sort=False)
    means = groups[[*MEASURES]].mean()
    return means.assign(probes=groups.size()).reset_index()[COLUMNS]


def stream(matrix: pd.DataFrame, version: str, parent: str, order: Sequence[str]) -> dict[str, Any]:
    """Retention of every earlier batch and what the parent held of it, the average over all, backward transfer
    and forgetting."""
    now = matrix[matrix.version == version].set_index("batch")
    learnt = [batch for batch in order if batch in now.index]
    if not learnt:
        return {"retention": {}}
    result: dict[str, Any] = {
        "retention": _by_batch(matrix, version, [b for b in learnt if b != version]),
        "retention_before": _by_batch(matrix, parent, [b for b in learnt if b != version]),
        "average": {m: float(now.loc[learnt, m].mean()) for m in _STREAM},
    }
    if len(learnt) > 1 and version in learnt:
        for m in _STREAM:
            cells = {(v, b): x for v, b, x in zip(matrix.version, matrix.batch, matrix[m], strict=True)}
            result.setdefault("backward_transfer", {})[m] = metrics.backward_transfer(cells, learnt)
            result.setdefault("forgetting", {})[m] = metrics.forgetting(cells, learnt)
    return result


def general_ability(
    ws: Workspace, lm: model.LanguageModel, base: model.LanguageModel, facts: Sequence[Reply]
) -> dict[str, float | None]:
    """Simple facts, as `lm` has answered them, and unrelated text that no training saw, against what the base was
    measured at; `kl_on_facts` is the mean KL(base || lm) on the base's own answers to the facts, in nats per token.

    Raises ValueError where the base was measured when its states on them were not kept yet.
    """
    by_base = ws.evaluation(BASE) / "facts"
    if not by_base.exists():
        raise ValueError(f"{by_base} is not there: `dvc repro --force --single-item base` measures the base again")
    matrix_VD = base.output_matrix_VD.detach()
    drift = unrelated_text(lm, matrix_VD, load_sentences(ws.evaluation(BASE) / "unrelated"))
    of_base = read_json(ws.evaluation(BASE) / "general.json")
    return {
        "facts": len(facts),
        "accuracy": containment(facts),
        "accuracy_base": of_base["accuracy"],
        **turned(read_records(ws.evaluation(BASE) / "general.jsonl", Reply), facts),
        "kl_on_facts": kl_from_base(lm, matrix_VD, load_sentences(by_base)),
        "perplexity": drift["perplexity"],
        "perplexity_base": of_base["perplexity"],
        "kl_from_base": drift["kl_from_base"],
    }


def _by_batch(matrix: pd.DataFrame, version: str, batches: Sequence[str]) -> dict[str, dict[str, float]]:
    rows = matrix[(matrix.version == version) & matrix.batch.isin(batches)].to_dict("records")
    return {row["batch"]: {c: float(row[c]) for c in ("probes", *MEASURES)} for row in rows}


def _scores(version: str, answers: Sequence[Answer], first: int) -> list[dict[str, Any]]:
    return [
        {"version": version, "batch": a.batch, "probe": i, **{m: getattr(a, m) for m in MEASURES}}
        for i, a in enumerate(answers, start=first)
    ]


def _order(history: Sequence[HistoryEntry]) -> list[str]:
    return list(dict.fromkeys(entry.batch for entry in history))


def _past(path: Path) -> list[Answer]:
    return read_records(path, Answer)
