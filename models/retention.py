"""Which of the remembered sentences are replayed while a new batch is learnt: a strategy is one short function.

What is remembered at all, and what a later fact supersedes, is `models.memory`'s affair. Replayed sentences bring the
teacher's states of the day on which they were learnt, so that a strategy costs no teacher.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import Tensor

from models.evaluate import divergence
from models.model import LanguageModel
from models.teacher import TargetSentence

Strategy = Literal["sequential", "replay", "forgotten"]
Remembered = Sequence[TargetSentence]


def sequential(remembered: Remembered, student: LanguageModel, teacher_matrix_VD: Tensor) -> Remembered:
    """Nothing: the paper's setting."""
    return ()


def replay(remembered: Remembered, student: LanguageModel, teacher_matrix_VD: Tensor) -> Remembered:
    """All, in turn."""
    return remembered


def forgotten(remembered: Remembered, student: LanguageModel, teacher_matrix_VD: Tensor) -> Remembered:
    """The half that the student has least of, by its KL from what the teacher said: twice as often as in turn.

    In the spirit of maximally interfered retrieval (Aljundi et al. 2019), which asks what a step would disturb most;
    here it is what earlier steps have.
    """
    if not remembered:
        return ()
    _, kl_N = divergence(student, teacher_matrix_VD, remembered)
    of_each = [part.mean().item() for part in kl_N.split([len(s.answer) for s in remembered])]
    worst = sorted(range(len(remembered)), key=lambda i: (-of_each[i], i))[: (len(remembered) + 1) // 2]
    return [remembered[i] for i in sorted(worst)]


STRATEGIES: Mapping[Strategy, Callable[[Remembered, LanguageModel, Tensor], Remembered]] = {
    "sequential": sequential,
    "replay": replay,
    "forgotten": forgotten,
}
