"""The stage base: weights, unrelated text, an empty history, and what the base is worth."""

import json
import math
from pathlib import Path

import pytest
import torch

from models import model
from models.answers import answer
from models.configs import BaseConfig, EvaluateConfig
from models.evaluate import kl_from_base, unrelated_text
from models.files import read_json
from models.memory import load_sentences
from models.records import Reply, read_records
from tasks.base import base
from tasks.bundle import general_facts, unrelated_prompts
from tasks.workspace import Workspace


@pytest.fixture
def ws(base_folder: Path) -> Workspace:
    return Workspace(base_folder)


def test_weights_are_those_of_the_chosen_model(ws: Workspace, tiny_model: Path) -> None:
    mine, chosen = (model.load(p, dtype=torch.float32) for p in (ws.weights("base"), tiny_model))
    assert all(torch.equal(a, b) for a, b in zip(mine.model.parameters(), chosen.model.parameters(), strict=True))
    assert answer(mine, ["Who?"], max_new_tokens=6) == answer(chosen, ["Who?"], max_new_tokens=6)
    assert read_json(ws.weights("base") / "provenance.json") == {
        "version": "base",
        "parent": None,
        "model": str(tiny_model),
    }


def test_unrelated_text_is_what_the_base_writes_itself_and_a_part_is_kept_out(ws: Workspace) -> None:
    training, held_out = load_sentences(ws.memory("base")), load_sentences(ws.evaluation("base") / "unrelated")
    assert len(training) + len(held_out) == 12
    assert len(held_out) == 3
    assert not {s.question for s in training} & {s.question for s in held_out}
    assert {s.origin for s in [*training, *held_out]} == {"unrelated"}
    lm = model.load(ws.weights("base"))
    for s in held_out:
        said = lm.tokenizer.decode(s.answer, skip_special_tokens=True)
        assert said.startswith(answer(lm, [s.question], max_new_tokens=8)[0])


def test_the_base_is_at_no_distance_from_itself(ws: Workspace) -> None:
    lm = model.load(ws.weights("base"))
    matrix_VD = lm.output_matrix_VD.detach()
    held_out, facts = (load_sentences(ws.evaluation("base") / name) for name in ("unrelated", "facts"))
    measured = unrelated_text(lm, matrix_VD, held_out)
    assert measured["kl_from_base"] == pytest.approx(0, abs=1e-3)  # states were kept in what this machine computes in
    assert kl_from_base(lm, matrix_VD, facts) == pytest.approx(0, abs=1e-3)
    replies = read_records(ws.evaluation("base") / "general.jsonl", Reply)
    assert [s.question for s in facts] == [r.question for r in replies if r.answer]
    general = read_json(ws.metrics("base"))["general"]
    assert measured["perplexity"] == pytest.approx(general["perplexity"], rel=1e-5)
    assert math.isfinite(general["perplexity"])
    assert 0 <= general["accuracy"] <= 1
    assert read_json(ws.metrics("base")) == {"version": "base", "general": general}
    assert set(general) == {"facts", "accuracy", "perplexity"}


def test_the_history_is_empty(ws: Workspace) -> None:
    assert (ws.validated("base") / "history.jsonl").read_text() == ""
    for name in ("answers.jsonl", "open_book.jsonl", "base.jsonl"):
        assert (ws.evaluation("base") / name).read_text() == ""


def test_the_stored_number_format_is_the_chosen_one(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Say sun."}\n' * 4)
    config = BaseConfig(
        model=str(tiny_model), unrelated=Path("prompts.jsonl"), unrelated_tokens=4, unrelated_samples=20
    )
    base(Workspace(tmp_path), config, EvaluateConfig(general_tokens=1), 0)
    assert json.loads((tmp_path / "data/weights/base/config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"prompt": "a"}\n', "at least 4"), ('{"prompt": "a"}\n{"text": "b"}\n', r"prompts\.jsonl:2"), ("x", ":1")],
)
def test_prompts_that_cannot_be_used_are_named(tiny_model: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prompts.jsonl").write_text(text)
    config = BaseConfig(model=str(tiny_model), unrelated=Path("prompts.jsonl"), unrelated_samples=0)
    with pytest.raises(ValueError, match=message):
        base(Workspace(tmp_path), config, EvaluateConfig(general_tokens=1), 0)


def test_what_comes_with_the_program_is_distinct_and_apart() -> None:
    facts, prompts = [question for question, _ in general_facts()], list(unrelated_prompts())
    assert len(facts) >= 100
    assert len(prompts) > 100
    assert len({*facts, *prompts}) == len(facts) + len(prompts)  # what is trained on measures nothing
    assert all(answers for _, answers in general_facts())
