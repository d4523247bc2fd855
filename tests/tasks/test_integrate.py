"""The stage integrate: weights, memory, log and provenance; the same bytes again, killed in between or not."""

import hashlib
import math
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from models import model
from models.files import read_json
from models.memory import load_sentences
from models.model import best_device, fast_dtype
from models.records import QAPair, read_records
from tasks import integrate as stage
from tasks.workspace import Workspace

MILL = {
    "id": "mill",
    "context": "Mara Holt runs the mill in Orvane.",
    "qa": [{"question": f"Question {k} about the mill?", "answer": f"Answer {k}"} for k in range(9)],
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(stages: Any, batch: str = "b0000") -> Path:
    return stages.ws.weights(batch) / "model.safetensors"


@pytest.fixture
def ready(stages: Any) -> Any:
    stages.prepare("b0000", "base", [MILL])
    return stages


def test_the_same_inputs_give_the_same_bytes(ready: Any) -> None:
    ready.train("b0000", "base")
    files = [weights(ready), *ready.ws.memory("b0000").iterdir(), ready.ws.weights("b0000") / "provenance.json"]
    first = {file: digest(file) for file in files}
    ready.train("b0000", "base")
    assert {file: digest(file) for file in files} == first
    ready.seed += 1
    ready.train("b0000", "base")
    assert digest(weights(ready)) != first[weights(ready)]


def test_a_version_stands_between_the_base_and_what_it_learnt(ready: Any) -> None:
    dtype = fast_dtype(best_device())  # in which the student's weights are written
    theirs = load_file(ready.ws.weights("base") / "model.safetensors")
    moved = {}
    for anchor in (0.0, 0.25):
        ready.train("b0000", "base", anchor=anchor)
        own = load_file(weights(ready))
        moved[anchor] = torch.cat([(own[name] - theirs[name].to(dtype)).flatten() for name in own])
    assert moved[0].any()
    assert (moved[0.25] - 0.75 * moved[0]).norm() < 0.02 * moved[0].norm()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_is_stored_in_float32_loses_nothing_where_it_is_learnt_in_fewer_bits(
    ready: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    theirs = load_file(ready.ws.weights("base") / "model.safetensors")
    assert {tensor.dtype for tensor in theirs.values()} == {torch.float32}
    monkeypatch.setattr(model, "fast_dtype", lambda _device: torch.bfloat16)
    ready.train("b0000", "base", method=method, layers=0.5, anchor=0.25)
    own = load_file(weights(ready))
    changed = {name for name, tensor in own.items() if not torch.equal(tensor, theirs[name])}
    assert changed
    learns = (".layers.1.", "model.norm.")  # the others are the base's, bit for bit
    assert all(any(part in name for part in learns) for name in changed)
    assert all((own[n] - theirs[n]).norm() < 0.2 * theirs[n].norm() for n in changed)


class Killed(BaseException):
    """As abrupt as a signal."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(batch: str, row: dict[str, float]) -> None:
        if row["step"] == step:
            raise Killed

    monkeypatch.setattr(stage, "_say", say)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_killed_it_goes_on_and_writes_the_same_bytes(ready: Any, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    config = {"checkpoint_seconds": 1e-9, "method": method}
    ready.train("b0000", "base", **config)
    wanted = digest(weights(ready))
    with monkeypatch.context() as patched:
        kill_at(7, patched)
        with pytest.raises(Killed):
            ready.train("b0000", "base", **config)
    checkpoint, states = sorted(ready.ws.work("b0000").iterdir())
    assert checkpoint.suffix == ".pt"
    assert len(load_sentences(states / "000001")) == 9
    monkeypatch.setattr(stage, "taught", None)  # the teacher is not asked again
    seen: list[float] = []
    monkeypatch.setattr(stage, "_say", lambda _, row: seen.append(row["step"]))
    ready.train("b0000", "base", **config)
    assert seen[0] == 7
    assert digest(weights(ready)) == wanted
    assert not ready.ws.work("b0000").exists()


@pytest.mark.parametrize("other", ["seed", "code"])
def test_a_checkpoint_of_other_inputs_is_not_taken_up(ready: Any, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    with monkeypatch.context() as patched:
        kill_at(5, patched)
        with pytest.raises(Killed):
            ready.train("b0000", "base", checkpoint_seconds=1e-9)
    seen: list[float] = []
    monkeypatch.setattr(stage, "_say", lambda _, row: seen.append(row["step"]))
    if other == "seed":
        ready.seed += 1
    else:
        monkeypatch.setattr(stage.metadata, "version", lambda _name: "99")
    ready.train("b0000", "base", checkpoint_seconds=1e-9)
    assert seen[0] == 1


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_version_has_the_base_s_parameters_and_nothing_else(ready: Any, method: str) -> None:
    ready.train("b0000", "base", method=method)
    mine, base = load_file(weights(ready)), load_file(weights(ready, "base"))
    assert {n: (p.shape, p.dtype) for n, p in mine.items()} == {n: (p.shape, p.dtype) for n, p in base.items()}
    assert all(p.isfinite().all() for p in mine.values())
    assert any(not mine[n].equal(base[n]) for n in mine)
    size = weights(ready).stat().st_size - weights(ready, "base").stat().st_size
    assert abs(size) < 100
    assert (ready.ws.weights("b0000") / "tokenizer.json").exists()
    log = pd.read_csv(ready.ws.training("b0000"))
    assert log.kl_new.iloc[-1] < log.kl_new.iloc[0]


def test_the_log_has_a_row_a_step(learnt: Any) -> None:
    log = pd.read_csv(learnt.ws.training("b0001"))
    assert list(log.step) == list(range(1, 7))
    assert {"loss", "kl_new", "kl_unrelated", "kl_replay", "learning_rate", "tokens_per_second"} <= set(log.columns)
    assert log.notna().all().all()
    assert (log.filter(like="kl_") >= 0).all().all()
    assert math.isclose(log.learning_rate.max(), 2e-3)


def test_memory_holds_unrelated_text_and_old_and_new_lessons_within_the_budget(learnt: Any) -> None:
    for batch, origins in (("b0000", {"b0000"}), ("b0001", {"b0000", "b0001"}), ("b0002", {"b0000", "b0001", "b0002"})):
        remembered = load_sentences(learnt.ws.memory(batch))
        replay = [s for s in remembered if s.origin != "unrelated"]
        assert {s.origin for s in replay} == origins
        assert len(replay) <= learnt.integrate.replay_budget
        assert len(remembered) - len(replay) == 9


def test_a_strategy_says_what_is_replayed_and_all_is_remembered_whatever_it_says(learnt: Any, tmp_path: Path) -> None:
    ws = Workspace(Path(shutil.copytree(learnt.ws.root, tmp_path / "ws")))
    again = replace(learnt, ws=ws, trained={})

    def lessons() -> list[str]:
        return [s.question for s in load_sentences(ws.memory("b0002")) if s.origin != "unrelated"]

    remembered, replayed = lessons(), len(learnt.trained["b0002"]["replay"])
    assert replayed > 1
    for strategy, count in (("sequential", 0), ("forgotten", (replayed + 1) // 2)):
        again.train("b0002", "b0001", retention=strategy)
        assert len(again.trained["b0002"]["replay"]) == count
        assert lessons() == remembered


def test_an_old_answer_to_a_question_answered_anew_is_not_replayed(learnt: Any) -> None:
    who = "Who is at the mill?"
    assert who in [s.question for s in load_sentences(learnt.ws.memory("b0000"))]
    assert who not in [s.question for s in learnt.trained["b0001"]["replay"]]
    assert who in [s.question for s in learnt.trained["b0001"]["new"]]


def test_provenance_tells_where_a_version_comes_from(learnt: Any) -> None:
    told = read_json(learnt.ws.weights("b0001") / "provenance.json")
    assert told["version"] == "b0001"
    assert told["parent"] == "b0000"
    assert told["batch_digest"] == digest(learnt.ws.validated("b0001") / "experiences.jsonl")
    assert told["pairs"] == len(read_records(learnt.ws.qa("b0001") / "pairs.jsonl", QAPair))
    assert told["seed"] == learnt.seed
    assert told["params"] == learnt.integrate.model_dump(mode="json")
    assert told["code_version"] == metadata.version("selfparam")
    assert told["final"]["step"] == 6


def test_written_shares_follow_the_writer(ready: Any) -> None:
    ready.train("b0000", "base", written_share_given=0.25, written_share_self=0.5)
    assert {s.written for s in ready.trained["b0000"]["new"]} == {0.25}
    assert {s.written for s in ready.trained["b0000"]["unrelated"]} == {0.0}


def test_a_batch_without_pairs_is_an_error_that_says_so(stages: Any) -> None:
    stages.prepare("b0000", "base", [{"id": "mute", "context": "Good morning"}])
    with pytest.raises(ValueError, match="no target sentences"):
        stages.train("b0000", "base")
    assert not stages.ws.weights("b0000").exists()
