"""The stage synthesize: pairs and their report, and no probe or general fact among the pairs."""

import logging
from typing import Any

import pytest

from models.files import read_json
from models.metrics import normalise
from models.records import HistoryEntry, QAPair, read_records
from tasks.bundle import general_facts


def asked(stages: Any, batch: str) -> list[str]:
    return [p.question for p in read_records(stages.ws.qa(batch) / "pairs.jsonl", QAPair)]


def test_given_pairs_are_taken_and_those_that_ask_probes_left_out(learnt: Any) -> None:
    assert asked(learnt, "b0000") == [
        "Who is at the mill?",
        "What colour is the lamp of the harbour?",  # no probe yet
        "At what time is the mill open?",
    ]
    assert asked(learnt, "b0001") == ["Who is at the mill?", "Say the colour of the lamp."]


@pytest.mark.parametrize("batch", ["b0000", "b0001", "b0002"])
def test_no_probe_is_ever_a_target_sentence(learnt: Any, batch: str) -> None:
    """Neither among the new sentences nor among those replayed from a time before the probe came."""
    history = read_records(learnt.ws.validated(batch) / "history.jsonl", HistoryEntry)
    probes = [set(normalise(p.question).split()) for e in history for p in e.experience.probes]
    sentences = [s for group in learnt.trained[batch].values() for s in group]
    assert len(probes) >= 2
    assert len(sentences) >= 11
    assert not [s.question for s in sentences if set(normalise(s.question).split()) in probes]


def test_a_general_fact_is_not_asked(stages: Any) -> None:
    fact = general_facts()[0][0]
    qa = [{"question": fact, "answer": "x"}, {"question": "Who sells eels?", "answer": "Mara"}]
    stages.prepare("b0000", "base", [{"id": "e", "context": "Mara sells eels in the harbour.", "qa": qa}])
    assert asked(stages, "b0000") == ["Who sells eels?"]


def test_the_report_counts(learnt: Any) -> None:
    report = read_json(learnt.ws.qa("b0000") / "report.json")
    assert report["pairs"] == 3
    assert report["by_kind"] == {"given": 3}
    assert report["by_writer"] == {"record": 3}
    assert report["without_pairs"] == []


def test_the_model_writes_where_no_pairs_came_and_does_so_again(stages: Any) -> None:
    text = "News of the mill. Mara Holt runs the mill in Orvane since May. The mill opens at nine in the morning."
    stages.prepare("b0000", "base", [{"id": "mill", "context": text}])
    pairs = read_records(stages.ws.qa("b0000") / "pairs.jsonl", QAPair)
    assert {p.writer for p in pairs} == {"self"}
    first = (stages.ws.qa("b0000") / "pairs.jsonl").read_bytes()
    stages.prepare("b0000", "base", [{"id": "mill", "context": text}])
    assert (stages.ws.qa("b0000") / "pairs.jsonl").read_bytes() == first


def test_an_experience_without_pairs_is_told(stages: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="selfparam"):
        stages.prepare("b0000", "base", [{"id": "mute", "context": "Good morning"}])
    assert "mute" in caplog.text
    assert read_json(stages.ws.qa("b0000") / "report.json")["without_pairs"] == ["mute"]
