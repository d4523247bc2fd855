"""Strategies of retention: nothing, all, or what the student has least of."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.configs import IntegrateConfig
from models.evaluate import divergence
from models.integrate import integrate
from models.model import LanguageModel, load
from models.retention import STRATEGIES, anchored
from models.teacher import TargetSentence, target_sentences


@pytest.fixture
def matrix_VD(lm: LanguageModel) -> Tensor:
    return lm.output_matrix_VD.detach()


def test_sequential_replays_nothing_and_replay_everything(
    lm: LanguageModel, sentences: list[TargetSentence], matrix_VD: Tensor
) -> None:
    assert list(STRATEGIES["sequential"](sentences, lm, matrix_VD)) == []
    assert STRATEGIES["replay"](sentences, lm, matrix_VD) is sentences
    assert all(list(choose([], lm, matrix_VD)) == [] for choose in STRATEGIES.values())


def test_what_is_replayed_first_is_what_was_forgotten(
    lm: LanguageModel, tiny_model: Path, unrelated: list[TargetSentence], matrix_VD: Tensor
) -> None:
    """Of four lessons two were learnt: the other two are replayed."""
    lessons = target_sentences(
        lm, "The lamp is green.", [(f"What is lamp {n}?", f"Number {n}") for n in range(4)], origin="b0000"
    )
    student = load(tiny_model, dtype=torch.float32)
    config = IntegrateConfig(method="full", layers=1, epochs=25, least_steps=0, learning_rate=3e-3, unrelated_batch=2)
    integrate(student, matrix_VD, {"new": lessons[:2], "unrelated": unrelated}, config, seed=0)
    chosen = STRATEGIES["forgotten"](lessons, student, matrix_VD)
    _, kl_N = divergence(student, matrix_VD, lessons)
    learnt, not_learnt = kl_N.split([sum(len(s.answer) for s in half) for half in (lessons[:2], lessons[2:])])
    assert learnt.mean() < 0.5 * not_learnt.mean()
    assert [s.question for s in chosen] == [s.question for s in lessons[2:]]


def test_divergence_is_nothing_where_teacher_and_student_are_one(
    lm: LanguageModel, unrelated: list[TargetSentence], matrix_VD: Tensor
) -> None:
    states, kl_N = divergence(lm, matrix_VD, unrelated)
    assert [len(s) for s in states] == [len(s.answer) for s in unrelated]
    torch.testing.assert_close(kl_N, torch.zeros_like(kl_N), atol=1e-5, rtol=0)


def test_anchored_weights_lie_between_the_bases_and_what_was_learnt(lm: LanguageModel, tiny_model: Path) -> None:
    student = load(tiny_model, dtype=torch.float32)
    with torch.no_grad():
        moved = student.model.model.layers[0].mlp.up_proj.weight.add_(1.0)
    before = {name: p.detach().clone() for name, p in student.model.named_parameters()}
    anchored(student, lm, 0)
    assert all(torch.equal(p, before[name]) for name, p in student.model.named_parameters())
    anchored(student, lm, 0.25)
    theirs = lm.model.model.layers[0].mlp.up_proj.weight
    torch.testing.assert_close(moved, theirs + 0.75)
    others = [n for n, p in student.model.named_parameters() if p is not moved]
    assert all(torch.equal(student.model.get_parameter(n), before[n]) for n in others)
    for _ in range(100):  # lessons that all move the weights the same way
        with torch.no_grad():
            moved += 1.0
        anchored(student, lm, 0.25)
    assert (moved - theirs).max() <= 1 / 0.25
