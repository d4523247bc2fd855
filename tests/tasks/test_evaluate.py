"""The stage evaluate: the numbers that the gate, the registry and people read."""

import math
from typing import Any

import pandas as pd
import pytest

from models.files import read_json
from models.metrics import LEAST_GAP
from models.records import Answer, Experience, HistoryEntry, Reply, read_records
from tasks.evaluate import COLUMNS, efficacy, questions, stream, superseded, table, unchanged

SCORES = {"f1", "exact", "contains", "log_likelihood"}
STREAM = {"f1", "contains", "log_likelihood"}


def metrics_of(learnt: Any, batch: str) -> dict[str, Any]:
    return read_json(learnt.ws.metrics(batch))


def answers_of(learnt: Any, batch: str, name: str = "answers") -> list[Answer]:
    return read_records(learnt.ws.evaluation(batch) / f"{name}.jsonl", Answer)


def facts_of(learnt: Any, version: str) -> list[Reply]:
    return read_records(learnt.ws.evaluation(version) / "general.jsonl", Reply)


def matrix_of(learnt: Any, batch: str) -> pd.DataFrame:
    return pd.read_csv(learnt.ws.retention(batch))


def test_the_metrics_of_a_later_batch(learnt: Any) -> None:
    told = metrics_of(learnt, "b0001")
    assert (told["version"], told["parent"]) == ("b0001", "b0000")
    learning = told["efficacy"]
    assert learning["probes"] == 2
    for name in ("open_book", "closed_book_base", "closed_book_before", "closed_book"):
        assert set(learning[name]) == SCORES
        assert all(0 <= learning[name][m] <= 1 for m in SCORES - {"log_likelihood"})
        assert learning[name]["log_likelihood"] <= 0
    assert learning["gain_contains_interval"] is None  # one experience shows no spread
    assert set(told["retention"]) == {"b0000"}
    assert set(told["retention"]["b0000"]) == SCORES | {"probes"}
    assert set(told["average"]) == set(told["backward_transfer"]) == set(told["forgetting"]) == STREAM
    assert set(told["general"]) == {
        "facts",
        "accuracy",
        "accuracy_base",
        "kl_on_facts",
        "lost",
        "won",
        "perplexity",
        "perplexity_base",
        "kl_from_base",
    }
    assert told["general"]["kl_from_base"] > 0
    assert told["drift"]["relative_l2"] > 0
    facts, by_base = facts_of(learnt, "b0001"), facts_of(learnt, "base")
    assert len(facts) == len(by_base) == told["general"]["facts"] >= 100
    assert told["general"]["accuracy"] == sum(a.contains for a in facts) / len(facts)
    assert told["general"]["kl_on_facts"] > 0
    change = told["general"]["accuracy"] - told["general"]["accuracy_base"]
    assert (told["general"]["won"] - told["general"]["lost"]) / len(facts) == pytest.approx(change)
    assert set(told["locality"]) == {"probes", "leak", "leak_base", "log_likelihood_gain", "kl_from_base", "given"}
    assert told["locality"]["given"] == {"probes": 0}
    assert told["superseded"]["probes"] == 1
    assert told["locality"]["kl_from_base"] > 0
    near = answers_of(learnt, "b0001", "locality")
    assert len(near) == told["locality"]["probes"] > 0
    assert {a.kind for a in near} == {"locality"}
    assert told["locality"]["leak"] == sum(a.contains for a in near) / len(near)
    base = answers_of(learnt, "b0001", "locality_base")
    gains = [now.log_likelihood - before.log_likelihood for now, before in zip(near, base, strict=True)]
    assert told["locality"]["log_likelihood_gain"] == pytest.approx(sum(gains) / len(gains))


def test_the_recovered_gap_is_that_of_the_log_likelihoods(learnt: Any) -> None:
    for batch in ("b0000", "b0001"):
        told = metrics_of(learnt, batch)["efficacy"]
        opened, before, now = (told[n]["log_likelihood"] for n in ("open_book", "closed_book_before", "closed_book"))
        wanted = (now - before) / (opened - before) if opened - before >= LEAST_GAP else None
        assert told["recovered_gap"] == pytest.approx(wanted)


def test_a_first_batch_has_nothing_to_retain(learnt: Any) -> None:
    told = metrics_of(learnt, "b0000")
    assert told["retention"] == {}
    assert "backward_transfer" not in told
    assert "forgetting" not in told
    assert told["efficacy"]["closed_book_before"] == told["efficacy"]["closed_book_base"]
    assert told["average"]["f1"] == pytest.approx(told["efficacy"]["closed_book"]["f1"])


def test_before_is_the_parent_and_not_the_base(learnt: Any) -> None:
    told = metrics_of(learnt, "b0001")["efficacy"]
    assert told["closed_book_before"]["log_likelihood"] != told["closed_book_base"]["log_likelihood"]
    matrix = matrix_of(learnt, "b0001").set_index(["version", "batch"])
    assert told["closed_book_before"]["log_likelihood"] == pytest.approx(matrix.log_likelihood["b0000", "b0001"])


def test_the_matrix_grows_with_the_stream(learnt: Any) -> None:
    first, second = matrix_of(learnt, "b0000"), matrix_of(learnt, "b0001")
    assert list(first.columns) == COLUMNS
    assert list(zip(first.version, first.batch, strict=True)) == [
        ("open_book", "b0000"),
        ("base", "b0000"),
        ("b0000", "b0000"),
    ]
    assert first.probes.tolist() == [2, 2, 2]
    assert second.probes.tolist()[:3] == [1, 1, 1]  # one is superseded by now: it counts nowhere any more
    assert set(zip(second.version[3:], second.batch[3:], strict=True)) == {
        ("open_book", "b0001"),
        ("base", "b0001"),
        ("b0000", "b0001"),
        ("b0001", "b0000"),
        ("b0001", "b0001"),
    }


def test_a_superseded_probe_is_marked_and_left_out(learnt: Any) -> None:
    (old,) = [a for a in answers_of(learnt, "b0001") if a.answers == ("Mara Holt", "Mara")]
    assert (old.kind, old.batch) == ("superseded", "b0000")
    (new,) = [a for a in answers_of(learnt, "b0001") if a.answers == ("Ida Berg",)]
    assert (new.kind, new.batch) == ("direct", "b0001")
    matrix = matrix_of(learnt, "b0001").set_index(["version", "batch"])
    assert matrix.probes["b0001", "b0000"] == 1
    (now,) = [a for a in answers_of(learnt, "b0001") if a.batch == "b0000" and a.kind != "superseded"]
    (then,) = [a for a in answers_of(learnt, "b0000") if a.question == now.question]
    told = metrics_of(learnt, "b0001")
    assert told["retention"]["b0000"]["log_likelihood"] == pytest.approx(now.log_likelihood)
    assert told["retention_before"]["b0000"]["log_likelihood"] == pytest.approx(then.log_likelihood)
    assert told["backward_transfer"]["log_likelihood"] == pytest.approx(now.log_likelihood - then.log_likelihood)


def test_answers_are_cumulative(learnt: Any) -> None:
    assert [a.batch for a in answers_of(learnt, "b0001")] == ["b0000"] * 2 + ["b0001"] * 2
    for name in ("open_book", "base"):
        assert [a.batch for a in answers_of(learnt, "b0001", name)] == ["b0000"] * 2 + ["b0001"] * 2
        assert answers_of(learnt, "b0001", name)[:2] == answers_of(learnt, "b0000", name)
    opened, closed = answers_of(learnt, "b0000", "open_book"), answers_of(learnt, "b0000", "base")
    assert [a.log_likelihood for a in opened] != [a.log_likelihood for a in closed]  # the context was there


def test_a_batch_without_probes_still_shows_what_was_kept(learnt: Any) -> None:
    told = metrics_of(learnt, "b0002")
    assert told["efficacy"] == {"probes": 0, "recovered_gap": None}
    assert set(told["retention"]) == {"b0000", "b0001"}
    assert all(math.isfinite(x) for x in told["average"].values())
    assert "b0002" not in set(matrix_of(learnt, "b0002").batch)


def test_a_stream_may_begin_without_probes(stages: Any) -> None:
    qa = [{"question": "Who sells eels?", "answer": "Mara"}]
    plain = {"id": "eels", "context": "Mara sells eels in the harbour.", "qa": qa}
    probed = {
        "id": "mill",
        "context": "Ida runs the mill of the village.",
        "qa": [{"question": "Who?", "answer": "Ida"}],
    }
    probed["probes"] = [{"question": "Who runs the mill of the village?", "answers": ["Ida"]}]
    stages.learn("b0000", "base", [plain])
    told = metrics_of(stages, "b0000")
    assert told["efficacy"]["probes"] == 0
    assert told["retention"] == {}
    stages.learn("b0001", "b0000", [probed])
    told = metrics_of(stages, "b0001")
    assert told["efficacy"]["probes"] == 1
    assert told["retention"] == {}
    assert set(told["average"]) == STREAM
    assert "forgetting" not in told


def test_plots_are_drawn(learnt: Any) -> None:
    plots = learnt.ws.evaluation("b0001") / "plots"
    assert (plots / "retention.png").read_bytes().startswith(b"\x89PNG")
    assert read_json(plots / "retention.json")


def entry(batch: str, *probes: tuple[str, ...]) -> HistoryEntry:
    asked = [{"question": q, "answers": answers} for q, *answers in probes]
    experience = Experience.model_validate({"id": batch, "context": "x", "probes": asked})
    return HistoryEntry(batch=batch, digest="d", experience=experience)


def test_only_the_last_answers_to_a_question_count() -> None:
    history = [
        entry("b0000", ("Who?", "Mara"), ("Where?", "Orvane"), ("When?", "9")),
        entry("b0001", ("who", "Ida"), ("Where?", "Orvane")),
        entry("b0002", ("Who?", "Runa")),
    ]
    assert [(q.batch, q.probe.question, q.probe.kind) for q in questions(history)] == [
        ("b0000", "Who?", "superseded"),
        ("b0000", "Where?", "direct"),  # asked again with the same answers
        ("b0000", "When?", "direct"),
        ("b0001", "who", "superseded"),
        ("b0001", "Where?", "direct"),
        ("b0002", "Who?", "direct"),
    ]


def test_another_spelling_or_another_opinion_of_one_batch_supersedes_nothing() -> None:
    history = [
        entry("b0000", ("When?", "Nine."), ("Who?", "Mara"), ("Where?", "Orm")),
        entry("b0001", ("When?", "nine", "9 o'clock"), ("Who?", "Ida")),
        entry("b0001", ("Who?", "Runa"), ("Where?", "Orvane")),
        entry("b0001", ("Where?", "Orm")),
    ]
    assert [q.probe.question for q in questions(history) if q.probe.kind == "superseded"] == ["Who?"]
    assert [q.batch for q in questions(history) if q.probe.kind == "superseded"] == ["b0000"]


def said(question: str, text: str, gold: str, kind: str = "direct") -> Answer:
    contained = float(gold in text)
    return Answer(
        batch="b", experience="e", question=question, answers=(gold,), kind=kind, answer=text,
        f1=contained, exact=contained, contains=contained, log_likelihood=-1 - contained,
    )  # fmt: skip


def test_of_a_superseded_probe_it_is_measured_which_answer_is_given() -> None:
    probes = questions([entry("b0000", ("Who?", "Mara"), ("When?", "9")), entry("b0001", ("who", "Ida"))])
    assert [q.right_now for q in probes] == [("Ida",), (), ()]
    for text, new, old in (("Ida does.", 1, 0), ("Mara does.", 0, 1), ("Ida, and no longer Mara.", 1, 1)):
        answers = [said("Who?", text, "Mara"), said("When?", "9", "9"), said("who", text, "Ida")]
        assert superseded(probes, answers) == {"probes": 1, "new": new, "old": old}
    assert superseded(probes[1:], answers[1:]) == {"probes": 0}


def test_what_shall_not_change_is_no_part_of_what_is_learnt() -> None:
    before = [said("Who?", "no idea", "Mara"), said("Capital of Peru?", "Lima", "Lima", "locality")]
    now = [said("Who?", "Mara", "Mara"), said("Capital of Peru?", "Orvane", "Lima", "locality")]
    told = efficacy(now, before, before, now, seed=0)
    assert told["probes"] == 1
    assert told["closed_book"]["contains"] == 1
    assert told["closed_book_by_kind"]["locality"]["contains"] == 0
    assert unchanged(before, now) == {"probes": 1, "before": 1, "now": 0}


def by_hand(cells: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [{"version": v, "batch": b, "probes": 1, "f1": x, "exact": x, "contains": x, "log_likelihood": -1 / x}
            for (v, b), x in cells.items()]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def test_signs_on_a_matrix_made_by_hand() -> None:
    lost = by_hand({("open_book", "a"): 1, ("a", "a"): 0.8, ("a", "b"): 0.1, ("b", "a"): 0.2, ("b", "b"): 0.6})
    told = stream(lost, "b", "a", ["a", "b"])
    assert told["backward_transfer"]["f1"] == pytest.approx(-0.6)
    assert told["forgetting"]["f1"] == pytest.approx(0.6)
    assert told["average"]["f1"] == pytest.approx(0.4)
    assert told["retention"]["a"]["contains"] == pytest.approx(0.2)
    assert told["backward_transfer"]["log_likelihood"] == pytest.approx(-1 / 0.2 + 1 / 0.8)
    assert "backward_transfer" not in stream(lost, "a", "base", ["a"])


def test_a_mean_is_taken_over_the_probes_that_count_in_every_version() -> None:
    rows = [("a", "a", 0, 1.0), ("a", "a", 1, 0.0), ("b", "a", 0, 0.0), ("b", "a", 1, 0.0), ("b", "b", 2, 1.0)]
    scores = pd.DataFrame([{"version": v, "batch": b, "probe": i, **dict.fromkeys(SCORES, x)} for v, b, i, x in rows])
    told = stream(table(scores, [1, 2]), "b", "a", ["a", "b"])  # probe 0 is superseded
    assert told["forgetting"]["f1"] == 0
    assert told["retention"]["a"]["probes"] == told["retention_before"]["a"]["probes"] == 1
    assert stream(table(scores, [0, 1, 2]), "b", "a", ["a", "b"])["forgetting"]["f1"] == pytest.approx(0.5)


def test_efficacy_compares_now_with_before() -> None:
    def answers(contains: float, logp: float) -> list[Answer]:
        common = {"batch": "b", "question": "q", "answers": ("a",), "kind": "direct", "answer": "x"}
        scores = {"f1": contains, "exact": 0.0, "contains": contains, "log_likelihood": logp}
        return [Answer.model_validate(common | scores | {"experience": id}) for id in ("e", "e", "f")]

    told = efficacy(answers(1, -1), answers(0, -9), answers(0, -5), answers(1, -2), seed=0)
    assert told["recovered_gap"] == pytest.approx(0.75)
    assert told["recovered_gap_interval"] == pytest.approx((0.75, 0.75))
    assert told["gain_contains_interval"] == (1, 1)
    assert told["closed_book_base"]["log_likelihood"] == -9


def test_every_kind_of_probe_has_its_own_scores() -> None:
    def said(kind: str, contains: float) -> Answer:
        common = {"batch": "b", "experience": "e", "question": "q", "answers": ("a",), "kind": kind, "answer": "x"}
        scores = {"f1": 0.0, "exact": 0.0, "contains": contains, "log_likelihood": -1.0}
        return Answer.model_validate(common | scores)

    now = [said("direct", 1), said("direct", 0), said("combined", 1)]
    told = efficacy(now, now, now, now, seed=0)["closed_book_by_kind"]
    assert {kind: scores["contains"] for kind, scores in told.items()} == {"combined": 1, "direct": 0.5}
