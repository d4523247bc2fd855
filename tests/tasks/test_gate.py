"""The gate: normal rounds pass, destroyed models do not, and every reason names its threshold."""

import copy
import math
from typing import Any

import pytest

from tasks.gate import GateConfig, decide

BASE = {"version": "base", "general": {"facts": 100, "accuracy": 0.9, "perplexity": 20.0}}


def scores(contains: float, log_likelihood: float) -> dict[str, float]:
    return {"f1": contains, "exact": 0.0, "contains": contains, "log_likelihood": log_likelihood}


def measured(version: str = "b0001") -> dict[str, Any]:
    return {
        "version": version,
        "parent": "b0000",
        "efficacy": {
            "probes": 24,
            "open_book": scores(0.6, -1.0),
            "closed_book_base": scores(0.0, -4.0),
            "closed_book_before": scores(0.0, -4.0),
            "closed_book": scores(0.5, -1.5),
            "recovered_gap": 0.83,
        },
        "retention": {"b0000": {"probes": 24, **scores(0.5, -1.5)}},
        "locality": {"probes": 20, "leak": 0.2, "leak_base": 0.1, "kl_from_base": 0.1},
        "general": {"facts": 100, "accuracy": 0.88, "perplexity": 22.0, "kl_from_base": 0.05},
        "drift": {"relative_l2": 0.02},
    }


CHAMPION = {**measured("b0000"), "retention": {}}


def test_a_normal_round_passes_and_says_what_held() -> None:
    verdict = decide(measured(), BASE, CHAMPION, GateConfig())
    assert verdict.accepted
    assert len(verdict.reasons) == 9
    assert "closed-book containment as a share of open book: 0.833 >= 0.3 (gate.min_open_book_share)" in verdict.reasons


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("efficacy.closed_book.contains", 0.1, "min_open_book_share"),
        ("efficacy.recovered_gap", 0.3, "min_recovered_gap"),
        ("efficacy.closed_book.log_likelihood", -4.5, "min_log_likelihood_gain"),
        ("retention.b0000.contains", 0.2, "max_retention_drop"),
        ("locality.leak", 1.2, "max_leak"),
        ("locality.leak_base", None, "max_leak"),
        ("general.accuracy", 0.8, "max_accuracy_drop"),
        ("general.perplexity", 40.0, "max_perplexity_ratio"),
        ("general.kl_from_base", 3.0, "max_kl_from_base"),
        ("drift.relative_l2", 0.9, "max_drift"),
        ("general.perplexity", math.nan, "max_perplexity_ratio"),
        ("general.kl_from_base", None, "max_kl_from_base"),
        ("retention.b0000.contains", None, "max_retention_drop"),
    ],
)
def test_each_threshold_refuses_alone_and_is_named(path: str, value: float | None, key: str) -> None:
    metrics = copy.deepcopy(measured())
    inner = metrics
    *parents, last = path.split(".")
    for name in parents:
        inner = inner[name]
    inner[last] = value
    verdict = decide(metrics, BASE, CHAMPION, GateConfig())
    assert not verdict.accepted
    (reason,) = verdict.reasons
    assert f"gate.{key}" in reason


def test_without_near_misses_nothing_can_leak() -> None:
    verdict = decide(measured() | {"locality": {"probes": 0}}, BASE, CHAMPION, GateConfig())
    assert verdict.accepted
    assert not any("max_leak" in reason for reason in verdict.reasons)


def test_a_figure_on_the_threshold_passes() -> None:
    metrics = measured()
    metrics["general"]["accuracy"] = 0.85  # 0.9 - 0.85 is a little more than 0.05 in binary
    assert decide(metrics, BASE, CHAMPION, GateConfig(max_accuracy_drop=0.05)).accepted


def test_a_batch_without_probes_is_judged_by_the_rest_and_says_so() -> None:
    metrics = measured()
    metrics["efficacy"] = {"probes": 0, "open_book": None, "closed_book": None, "recovered_gap": None}
    verdict = decide(metrics, BASE, CHAMPION, GateConfig())
    assert verdict.accepted
    assert any("no probes" in reason for reason in verdict.reasons)
    metrics["general"]["accuracy"] = 0.1
    verdict = decide(metrics, BASE, CHAMPION, GateConfig())
    assert not verdict.accepted
    assert any("no probes" in reason for reason in verdict.reasons)


def test_an_open_book_that_answers_nothing_asks_for_no_share() -> None:
    metrics = measured()
    metrics["efficacy"]["open_book"]["contains"] = metrics["efficacy"]["closed_book"]["contains"] = 0.0
    verdict = decide(metrics, BASE, CHAMPION, GateConfig())
    assert verdict.accepted
    assert any("open book" in reason for reason in verdict.reasons)


def test_the_first_round_has_no_champion_to_compare_with() -> None:
    assert decide({**measured(), "retention": {}}, BASE, {}, GateConfig()).accepted


def test_one_lost_probe_of_few_does_not_refuse() -> None:
    metrics, champion = measured(), copy.deepcopy(CHAMPION)
    champion["efficacy"]["closed_book"]["contains"] = 1.0
    metrics["retention"]["b0000"] = {"probes": 3, **scores(2 / 3, -1.0)}
    assert decide(metrics, BASE, champion, GateConfig(max_retention_drop=0.1)).accepted
    metrics["retention"]["b0000"]["contains"] = 1 / 3
    assert not decide(metrics, BASE, champion, GateConfig(max_retention_drop=0.1)).accepted


def test_what_the_batch_supersedes_counts_neither_for_the_champion_nor_against_it() -> None:
    metrics, champion = measured(), copy.deepcopy(CHAMPION)
    champion["efficacy"]["closed_book"]["contains"] = 1.0  # over all its probes, some of which are superseded by now
    metrics["retention"]["b0000"] = {"probes": 24, **scores(0.5, -1.0)}
    assert not decide(metrics, BASE, champion, GateConfig()).accepted
    metrics["retention_before"] = {"b0000": {"probes": 24, **scores(0.5, -1.0)}}  # over those that still count
    assert decide(metrics, BASE, champion, GateConfig()).accepted


def test_empty_metrics_are_refused() -> None:
    assert not decide({}, BASE, {}, GateConfig()).accepted
