"""Decides whether a version may become the champion: a function from figures and thresholds to a verdict.

Knows no file, no registry and no model. Refusal is a normal outcome.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_EPSILON = 1e-9  # 0.95 - 0.90 is 0.04999…: a figure on the threshold passes


class GateConfig(BaseModel):
    """What a version must reach. Shares, accuracies and drops lie in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_open_book_share: float = Field(
        0.3, ge=0, description="Closed-book containment on the new batch, as a share of the base's with open book."
    )
    min_recovered_gap: float = Field(
        0.4,
        description="Gold answers of the new batch: (after - before) / (open book - before), of log-likelihoods. "
        "Quieter than containment, so this is the one to tune by.",
    )
    min_log_likelihood_gain: float = Field(
        0.0,
        description="Gold answers of the new batch, closed book: mean log-likelihood after minus before, "
        "nats per token. 0: not less likely than before.",
    )
    max_retention_drop: float = Field(
        0.2,
        ge=0,
        description="Containment on all earlier batches together, champion minus this version. "
        "Losing a single probe never refuses.",
    )
    max_leak: float = Field(
        1.0,
        ge=0,
        description="Near misses of the new probes that are answered with the new fact: this version's share minus the "
        "base's. 1: never refuses; 0.3 is in reach with `integrate.locality_batch: 3`.",
    )
    max_accuracy_drop: float = Field(0.05, ge=0, description="Accuracy on the simple facts: base minus this version.")
    max_perplexity_ratio: float = Field(
        1.5, ge=1, description="Perplexity on unrelated text: this version over the base."
    )
    max_kl_from_base: float = Field(
        0.5, ge=0, description="KL(base || this version) on unrelated text, nats per token."
    )
    max_drift: float = Field(
        0.5, ge=0, description="Distance of the weights from the base's, over the norm of the base's (L2)."
    )


@dataclass(frozen=True)
class Verdict:
    """`reasons` name the figure, the threshold and its key: what failed where refused, what held where accepted."""

    accepted: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Check:
    passed: bool | None  # None: a remark, nothing was decided by it
    reason: str


def decide(
    metrics: Mapping[str, Any], base: Mapping[str, Any], champion: Mapping[str, Any], config: GateConfig
) -> Verdict:
    """Judge `metrics` of a version against those of the base and of the champion, all as `evaluate` writes them.

    `champion` is empty before there is one. A figure that is missing or not a number refuses. A batch without
    probes cannot show what was learnt: it is judged by what must not get worse, and the reasons say so.
    """
    checks = [
        *_efficacy(metrics, config),
        *_retention(metrics, champion, config),
        *_locality(metrics, config),
        *_general(metrics, base, config),
    ]
    accepted = all(check.passed is not False for check in checks)
    shown = [check.reason for check in checks if accepted or check.passed is not True]
    return Verdict(accepted, tuple(shown))


def _efficacy(metrics: Mapping[str, Any], config: GateConfig) -> Iterator[_Check]:
    efficacy = metrics.get("efficacy") or {}
    if not efficacy.get("probes"):
        yield _Check(None, "the new batch has no probes: judged by retention and general ability only")
        return
    open_book, after = _at(efficacy, "open_book", "contains"), _at(efficacy, "closed_book", "contains")
    if open_book == 0:
        yield _Check(None, "the base answers no probe of the new batch even with open book: its share says nothing")
    else:
        share = None if open_book is None or after is None else after / open_book
        yield _at_least(
            "closed-book containment as a share of open book", share, "min_open_book_share", config.min_open_book_share
        )
    if "recovered_gap" in efficacy and efficacy["recovered_gap"] is None:
        yield _Check(None, "the open book is hardly better than the closed book was: there is no gap to recover")
    else:
        yield _at_least("recovered gap", _at(efficacy, "recovered_gap"), "min_recovered_gap", config.min_recovered_gap)
    before = _at(efficacy, "closed_book_before", "log_likelihood")
    now = _at(efficacy, "closed_book", "log_likelihood")
    yield _at_least(
        "gain in log-likelihood of the new gold answers (nats per token)",
        None if before is None or now is None else now - before,
        "min_log_likelihood_gain",
        config.min_log_likelihood_gain,
    )


def _retention(metrics: Mapping[str, Any], champion: Mapping[str, Any], config: GateConfig) -> Iterator[_Check]:
    """Containment on the earlier batches, each weighed by its probes, against what the champion holds of them."""
    held = {batch: _at(row, "contains") for batch, row in (champion.get("retention") or {}).items()}
    if champion.get("version"):
        held[champion["version"]] = _at(champion, "efficacy", "closed_book", "contains")
    # Measured anew over the probes that still count: those that this batch supersedes are no loss, and no gain.
    held |= {batch: _at(row, "contains") for batch, row in (metrics.get("retention_before") or {}).items()}
    rows = {batch: row for batch, row in (metrics.get("retention") or {}).items() if held.get(batch) is not None}
    probes = sum(row["probes"] for row in rows.values())
    if not probes:
        return
    now = [_at(row, "contains") for row in rows.values()]
    drop = None
    if None not in now:
        lost = [(held[batch] - row["contains"]) * row["probes"] for batch, row in rows.items()]  # type: ignore[operator]
        drop = sum(lost) / probes
    limit = max(config.max_retention_drop, 1 / probes)
    yield _at_most(f"drop of containment on {len(rows)} earlier batches", drop, "max_retention_drop", limit)


def _locality(metrics: Mapping[str, Any], config: GateConfig) -> Iterator[_Check]:
    near = metrics.get("locality") or {}
    if near.get("probes"):  # not every probe has a near miss
        leak, of_base = _at(near, "leak"), _at(near, "leak_base")
        more = None if leak is None or of_base is None else leak - of_base
        yield _at_most("near misses answered with the new fact, beyond the base's", more, "max_leak", config.max_leak)


def _general(metrics: Mapping[str, Any], base: Mapping[str, Any], config: GateConfig) -> Iterator[_Check]:
    accuracy, accuracy_base = _at(metrics, "general", "accuracy"), _at(base, "general", "accuracy")
    perplexity, perplexity_base = _at(metrics, "general", "perplexity"), _at(base, "general", "perplexity")
    yield _at_most(
        "drop of accuracy on simple facts",
        None if accuracy is None or accuracy_base is None else accuracy_base - accuracy,
        "max_accuracy_drop",
        config.max_accuracy_drop,
    )
    yield _at_most(
        "perplexity on unrelated text over the base's",
        None if perplexity is None or not perplexity_base else perplexity / perplexity_base,
        "max_perplexity_ratio",
        config.max_perplexity_ratio,
    )
    kl = _at(metrics, "general", "kl_from_base")
    yield _at_most("KL from the base (nats per token)", kl, "max_kl_from_base", config.max_kl_from_base)
    yield _at_most("relative drift of the weights", _at(metrics, "drift", "relative_l2"), "max_drift", config.max_drift)


def _at(value: Mapping[str, Any], *path: str) -> float | None:
    """The figure at `path`, or None where it was not measured."""
    inner: Any = value
    for name in path:
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    return None if inner is None else float(inner)


def _at_least(figure: str, value: float | None, key: str, limit: float) -> _Check:
    return _check(figure, value, value is not None and value >= limit - _EPSILON, ">=", "<", key, limit)


def _at_most(figure: str, value: float | None, key: str, limit: float) -> _Check:
    return _check(figure, value, value is not None and value <= limit + _EPSILON, "<=", ">", key, limit)


def _check(figure: str, value: float | None, passed: bool, holds: str, fails: str, key: str, limit: float) -> _Check:
    # NaN compares false with everything: it lands among what failed, as it should.
    if value is None:
        return _Check(False, f"{figure} was not measured; gate.{key} asks for {holds} {limit:.3g}")
    return _Check(passed, f"{figure}: {value:.3f} {holds if passed else fails} {limit:.3g} (gate.{key})")
