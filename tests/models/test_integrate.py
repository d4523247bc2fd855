"""The integration loop: it learns, it repeats itself bit for bit, it survives being killed."""

import functools
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.answers import answer, token_log_probabilities
from models.integrate import RECENT, integrate, weights_of_groups
from models.kl import CHUNK
from models.masters import MasterWeights, StepLog
from models.model import LanguageModel
from models.rollouts import Rollouts
from models.teacher import TargetSentence, target_sentences
from tests.models.conftest import CONFIG, CONTEXT, QUESTIONS, Opener, same


def without_clock(rows: list[StepLog]) -> list[StepLog]:
    return [{k: v for k, v in row.items() if k != "tokens_per_second"} for row in rows]


def test_same_seed_same_weights_other_seed_other_weights(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    a, b, c = fresh(), fresh(), fresh()
    rows = [integrate(m, matrix_VD, groups, CONFIG, seed=s) for m, s in ((a, 1), (b, 1), (c, 2))]
    assert same(a, b)
    assert without_clock(rows[0]) == without_clock(rows[1])
    assert not same(a, c)
    assert not same(a, fresh())


@pytest.fixture
def many(lm: LanguageModel) -> list[TargetSentence]:
    """Enough of them that some are held out."""
    return target_sentences(lm, CONTEXT, [(f"Who is number {k}?", f"Mara {k}") for k in range(20)], origin="b")


def test_the_passes_end_where_the_held_out_kl_stops_falling(fresh: Opener, many: Any, matrix_VD: Tensor) -> None:
    config = CONFIG.model_copy(update={"epochs": 9, "batch_size": 6, "held_out": 0.1, "least_fall": 0.5})
    rows = integrate(fresh(), matrix_VD, {"new": many}, config, seed=0)
    measured = [row["kl_held_out"] for row in rows if "kl_held_out" in row]
    assert 2 <= len(measured) < 8
    assert measured[-1] > 0.5 * measured[-2]
    assert all(b <= 0.5 * a for a, b in itertools.pairwise(measured[:-1]))
    assert len(rows) == 3 * len(measured) + 2 * 4  # 18 of the 20 in each pass, all in the last two
    every = config.model_copy(update={"held_out": 0.0})
    assert len(integrate(fresh(), matrix_VD, {"new": many}, every, seed=0)) == 9 * 4


def test_unrelated_text_counts_more_the_further_the_student_has_moved_on_it() -> None:
    config = CONFIG.model_copy(
        update={"unrelated_weight": 2.0, "unrelated_limit": 0.1, "replay_weight": 0.5, "new_weight": 0.25}
    )

    def weights(*kl: float) -> dict[str, float]:
        return weights_of_groups([{"kl_unrelated": value} for value in kl], config, replays=False)

    assert weights() == weights(0.1, 0.02) == {"new": 1.0, "unrelated": 2.0, "replay": 0.5, "locality": 1.0}
    assert weights(0.1, 0.3)["unrelated"] == pytest.approx(2 * 2**2)
    assert weights(9.0, *[0.05] * RECENT)["unrelated"] == 2.0  # long ago
    assert weights_of_groups([{"kl_new": 1.0}], config, replays=False)["unrelated"] == 2.0  # no unrelated text
    assert weights_of_groups([], config, replays=True) == weights() | {"new": 0.25}


def test_a_limit_holds_the_student_on_unrelated_text(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    config = CONFIG.model_copy(update={"epochs": 12, "learning_rate": 3e-3, "unrelated_weight": 0.1})
    ends = [
        integrate(fresh(), matrix_VD, groups, config.model_copy(update={"unrelated_limit": limit}), seed=0)[-1]
        for limit in (1e-3, 1e3)
    ]
    assert ends[0]["kl_unrelated"] < 0.5 * ends[1]["kl_unrelated"]


class Killed(BaseException):
    """As abrupt as a signal."""


@pytest.mark.parametrize(
    "change",
    [
        {"method": "full"},
        {"method": "lora"},
        {"method": "lora", "layers": 0.5},
        {"method": "lora", "layers": 0.5, "on_policy": 0.5},
        {"optimizer": "muon"},
        {"held_out": 0.1, "least_fall": 1.0, "batch_size": 6},
    ],
)
def test_killed_twice_and_resumed_gives_the_weights_of_an_uninterrupted_run(
    fresh: Opener, lm: LanguageModel, groups: Any, many: Any, matrix_VD: Tensor, tmp_path: Path, change: dict[str, Any]
) -> None:
    config = CONFIG.model_copy(update={"checkpoint_seconds": 1e-9, **change})
    if "held_out" in change:
        groups = groups | {"new": many}
    rollouts = Rollouts(lm, {"mill": CONTEXT}, config.on_policy, 6) if config.on_policy else None
    again: Any = functools.partial(
        integrate, teacher_matrix_VD=matrix_VD, sentences=groups, config=config, seed=3, rollouts=rollouts
    )
    whole = fresh()
    wanted = again(whole)
    checkpoint = tmp_path / "work" / "checkpoint.pt"
    seen: list[int] = []
    for deadline in (3, 6):

        def killed(row: StepLog, deadline: int = deadline) -> None:
            seen.append(int(row["step"]))
            if row["step"] == deadline:
                raise Killed

        with pytest.raises(Killed):
            again(fresh(), checkpoint=checkpoint, on_step=killed)
    resumed = fresh()
    rows = again(resumed, checkpoint=checkpoint, on_step=lambda r: seen.append(int(r["step"])))
    assert seen == [1, 2, 3, 3, 4, 5, 6, *range(6, len(wanted) + 1)]  # nothing done twice but the step that was lost
    assert same(resumed, whole)
    assert without_clock(rows) == without_clock(wanted)


def test_it_learns_what_the_teacher_read(fresh: Opener, lm: LanguageModel, unrelated: Any, matrix_VD: Tensor) -> None:
    said = answer(lm, QUESTIONS, [CONTEXT] * 4, max_new_tokens=12)
    new = target_sentences(lm, CONTEXT, list(zip(QUESTIONS, said, strict=True)), origin="b0000")
    config = CONFIG.model_copy(update={"epochs": 30, "learning_rate": 3e-3, "unrelated_batch": 5})

    def likelihood(model: LanguageModel) -> float:
        return torch.cat(token_log_probabilities(model, [s.prompt for s in new], [s.answer for s in new])).mean().item()

    logits_NV = torch.cat([s.states_TD for s in new]) @ matrix_VD.T.cpu()
    tokens_N = torch.tensor([t for s in new for t in s.answer])
    open_book = logits_NV.log_softmax(-1)[range(len(tokens_N)), tokens_N].mean().item()
    before = likelihood(lm)
    student = fresh()
    rows = integrate(student, matrix_VD, {"new": new, "unrelated": unrelated}, config, seed=0)
    after = likelihood(student)
    assert rows[-1]["kl_new"] < 0.2 * rows[0]["kl_new"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert before < open_book - 0.5
    assert (after - before) / (open_book - before) > 0.7
    assert answer(student, QUESTIONS, max_new_tokens=12) != answer(lm, QUESTIONS, max_new_tokens=12)


def test_unrelated_text_is_held_by_its_weight(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    kl = {}
    for weight in (1e-6, 1.0):
        config = CONFIG.model_copy(update={"epochs": 15, "unrelated_weight": weight, "unrelated_batch": 5})
        rows = integrate(fresh(), matrix_VD, groups, config, seed=0)
        assert rows[0]["kl_unrelated"] == pytest.approx(0, abs=1e-5)  # the student is still the base
        kl[weight] = rows[-1]["kl_unrelated"]
    assert kl[1.0] < 0.5 * kl[1e-6]


def test_what_counts_nothing_is_not_run(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    weights = {f"{group}_weight": 0.0 for group in ("unrelated", "replay", "locality")}
    beside = {f"{group}_batch": 2 for group in ("unrelated", "replay", "locality")}
    config = CONFIG.model_copy(update=weights | beside)
    old = {"replay": groups["unrelated"], "locality": groups["unrelated"]}
    for row in integrate(fresh(), matrix_VD, groups | old, config, seed=0):
        assert not row.keys() & {"kl_unrelated", "kl_replay", "kl_locality"}
        assert row["loss"] == pytest.approx(row["kl_new"], rel=1e-5)  # nor do the new sentences count half


def test_near_misses_stay_as_they_were(fresh: Opener, lm: LanguageModel, groups: Any, matrix_VD: Tensor) -> None:
    near = target_sentences(lm, None, [("Who runs the other one?", "Nobody knows."), ("When?", "Never.")], origin="b")
    kl = {}
    for weight in (1e-6, 1.0):
        student = fresh()
        more = {"epochs": 15, "locality_weight": weight, "locality_batch": 3, "unrelated_batch": 0}
        config = CONFIG.model_copy(update=more)
        rows = integrate(student, matrix_VD, groups | {"locality": near}, config, seed=0)
        assert rows[0]["kl_locality"] == pytest.approx(0, abs=1e-5)
        kl[weight] = rows[-1]["kl_locality"]
    assert kl[1.0] < 0.5 * kl[1e-6]


def test_what_the_student_writes_is_learnt_from(
    fresh: Opener, lm: LanguageModel, groups: Any, matrix_VD: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []
    real = Rollouts.rewritten

    def heard(self: Rollouts, student: LanguageModel, new: Any, among: Any, *, seed: int) -> Any:
        asked.append(tuple(sorted(among)))
        return real(self, student, new, among, seed=seed)

    monkeypatch.setattr(Rollouts, "rewritten", heard)
    alone, helped = fresh(), fresh()
    integrate(alone, matrix_VD, groups, CONFIG, seed=0)
    rollouts = Rollouts(lm, {"mill": CONTEXT}, 1.0, 6)
    rows = integrate(helped, matrix_VD, groups, CONFIG, seed=0, rollouts=rollouts)
    assert asked == [(0, 1, 2)] * 3  # for each pass but the first
    assert len(rows) == 8
    assert not same(alone, helped)


def test_replay_keeps_an_earlier_lesson(fresh: Opener, lm: LanguageModel, groups: Any, matrix_VD: Tensor) -> None:
    old = target_sentences(lm, "The lamp is green.", [("Which colour?", "green"), ("What?", "a lamp")], origin="b")
    kl = {}
    for weight in (1e-6, 1.0):
        student = fresh()
        config = CONFIG.model_copy(update={"epochs": 15, "replay_weight": weight, "replay_batch": 2})
        integrate(student, matrix_VD, {"new": old}, config, seed=0)
        kl[weight] = integrate(student, matrix_VD, groups | {"replay": old}, config, seed=0)[-1]["kl_replay"]
    assert kl[1.0] < 0.5 * kl[1e-6]


@pytest.mark.parametrize(("method", "peak"), [("lora", 1.5e-3), ("full", 2.5e-4)])
def test_each_method_has_a_learning_rate_of_its_own(
    fresh: Opener, groups: Any, matrix_VD: Tensor, method: str, peak: float
) -> None:
    config = CONFIG.model_copy(update={"epochs": 2, "method": method, "learning_rate": None})
    rows = integrate(fresh(), matrix_VD, groups, config, seed=0)
    assert max(row["learning_rate"] for row in rows) == pytest.approx(peak)


def test_nothing_to_learn_is_said(fresh: Opener, unrelated: Any, matrix_VD: Tensor) -> None:
    with pytest.raises(ValueError, match="no target sentences"):
        integrate(fresh(), matrix_VD, {"new": [], "unrelated": unrelated}, CONFIG, seed=0)


def test_a_loss_that_is_not_finite_stops_and_names_the_setting(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    student = fresh()
    with torch.no_grad():
        student.output_matrix_VD[3, 3] = math.nan
    with pytest.raises(ValueError, match="no finite distribution"):
        integrate(student, matrix_VD, groups, CONFIG, seed=0)
    with pytest.raises(ValueError, match=r"integrate\.learning_rate"):
        integrate(student, matrix_VD, groups | {"unrelated": []}, CONFIG, seed=0)


class Logits(TorchDispatchMode):
    """The most rows that any tensor as wide as the vocabulary has."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.rows = vocabulary, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.rows = max([self.rows, *self._rows(result)])
        return result

    def _rows(self, result: Any) -> Iterator[int]:
        for t in tree_leaves(result):
            if isinstance(t, Tensor) and t.ndim and t.shape[-1] == self.vocabulary:
                yield t.numel() // self.vocabulary


def test_a_step_never_holds_the_logits_of_all_its_tokens(fresh: Opener, lm: LanguageModel, matrix_VD: Tensor) -> None:
    new = target_sentences(lm, CONTEXT, [(f"Question {i}?", "A long answer. " * 4) for i in range(8)], origin="b")
    assert sum(len(s.answer) for s in new) > 3 * CHUNK
    student, config = fresh(), CONFIG.model_copy(update={"batch_size": 8, "epochs": 1})
    with Logits(len(matrix_VD)) as logits:
        integrate(student, matrix_VD, {"new": new}, config, seed=0)
    assert logits.rows == CHUNK


class Passes:
    """How many tokens of its rows go through a model at once, pass by pass."""

    def __init__(self, student: LanguageModel) -> None:
        self.tokens: list[int] = []
        student.layers[-1].register_forward_pre_hook(lambda _, given: self.tokens.append(given[0][..., 0].numel()))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_large_step_goes_through_the_model_in_portions_and_has_the_same_gradient(
    fresh: Opener, many: Any, unrelated: Any, matrix_VD: Tensor, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(
        update={"method": method, "batch_size": len(many), "epochs": 1, "row_tokens": 64, "curvature_tokens": 0}
    )
    gradients: list[list[Tensor]] = []

    def step(self: MasterWeights, rate: float) -> float:
        gradients.append([p.grad.clone() for group in self._groups for p in group.parameters if p.grad is not None])
        return 1.0

    monkeypatch.setattr(MasterWeights, "step", step)

    def learnt(at_once: int | None) -> tuple[StepLog, list[int]]:
        student = fresh()
        tokens = Passes(student).tokens
        portioned = config.model_copy(update={"tokens_at_once": at_once})
        rows = integrate(student, matrix_VD, {"new": many, "unrelated": unrelated}, portioned, seed=0)
        return without_clock(rows)[0], tokens

    (whole, once), (portioned, often) = learnt(None), learnt(64)
    assert len(once) == 1
    assert max(often) < once[0] / 2
    assert portioned == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert len(gradients[0]) == len(gradients[1]) > 10
    for gradient, theirs in zip(*gradients, strict=True):
        assert (gradient - theirs).norm() <= 1e-3 * theirs.norm() + 1e-6


def test_a_gradient_that_is_not_finite_is_an_error_in_the_last_step_too(
    fresh: Opener, groups: Any, matrix_VD: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = len(integrate(fresh(), matrix_VD, groups, CONFIG, seed=0))
    done: list[float] = []

    def step(self: MasterWeights, rate: float) -> float:
        done.append(rate)
        return float("inf") if len(done) == steps else 1.0

    monkeypatch.setattr(MasterWeights, "step", step)
    with pytest.raises(ValueError, match=f"not finite at step {steps}"):
        integrate(fresh(), matrix_VD, groups, CONFIG, seed=0)
