"""The table of methods on the tiny model: each trains on what its name says."""

from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import prepared
from benchmarks.methods import METHODS, Lesson, table
from models.configs import PEAK_RATES, IntegrateConfig
from models.model import load
from models.records import Experience, QAPair
from models.synthesize import LOCALITY
from models.teacher import target_sentences
from tasks.workspace import Workspace

EXPERIENCE = Experience.model_validate(
    {
        "id": "mill",
        "context": "Notes of the mill. Mara Holt runs the mill of Orvane.",
        "probes": [{"question": "Who runs the mill of Orvane?", "answers": ["Mara"]}],
        "qa": [{"question": "Whose is the mill in Orvane?", "answer": "Mara Holt's"}],
    }
)


@pytest.fixture
def lesson(tiny_model: Path) -> Lesson:
    base = load(tiny_model, dtype=torch.float32)
    proof = "Mara Holt runs the mill of Orvane."
    fact = QAPair(
        experience="mill", question="Whose is it?", answer="Hers", kind="given", writer="record", evidence=proof
    )
    near = QAPair(experience="mill", question="Whose is that?", answer="His", kind=LOCALITY, writer="self")
    pairs = [fact, near]
    unrelated = target_sentences(base, None, [("Say sun.", "sun")], origin="unrelated")
    return Lesson(base, [EXPERIENCE], pairs, unrelated, IntegrateConfig(epochs=2, least_steps=0))


def test_what_each_method_trains_on(lesson: Lesson) -> None:
    found = {name.split(":")[0]: method(lesson) for name, method in METHODS.items()}
    contexts, sentences, published, default, full, near, own = found.values()
    tokenizer = lesson.base.tokenizer
    assert tokenizer.decode(contexts.groups["new"][0].answer) == EXPERIENCE.text
    assert [set(f.groups) for f in (contexts, sentences)] == [{"new"}] * 2
    assert {s.written for f in (contexts, sentences) for s in f.groups["new"]} == {1.0}
    assert [s.question for s in sentences.groups["new"]] == ["Whose is it?"]
    assert {s.written for s in published.groups["new"]} == {0.0}
    assert set(published.groups) == {"new", "unrelated"}
    assert {s.written for s in default.groups["new"]} == {lesson.config.written_share_given}
    assert [s.question for s in near.groups["locality"]] == ["Whose is that?"]
    assert (default.config.method, full.config.method, full.config.peak_rate) == ("lora", "full", PEAK_RATES["full"])
    assert near.config.locality_batch == 3
    assert own.rollouts
    assert own.rollouts.share == own.config.on_policy == 0.5
    assert own.rollouts.contexts == {"mill": EXPERIENCE.text}
    assert not torch.equal(default.groups["new"][0].states_TD, published.groups["new"][0].states_TD)  # evidence


def test_a_row_for_each_method(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {
        "base": {"model": str(tiny_model), "unrelated_samples": 0, "unrelated_tokens": 4},
        "synthesize": {"beside_given": False},
        "integrate": {"epochs": 1, "least_steps": 0},
        "evaluate": {"max_new_tokens": 2, "general_tokens": 1},
    }
    table(prepared(Workspace(tmp_path), params), [EXPERIENCE], list(METHODS), seed=0)
    said = capsys.readouterr().out
    assert "1 probes, 1 near misses, 1 pairs" in said
    for name in ("open book", "base, closed book", *METHODS):
        assert said.count(f"| {name} |") == 1
