"""Which of the remembered sentences are replayed while a new batch is learnt: a strategy is one short function.

What is remembered at all, and what a later fact supersedes, is `models.memory`'s affair. Replayed sentences bring the
teacher's states of the day on which they were learnt, so that a strategy costs no teacher. What no replay can hold,
all that the model knew before its first lesson, is held by the base's weights (`anchored`).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from models.configs import Strategy
from models.evaluate import divergence
from models.model import LanguageModel
from models.teacher import TargetSentence

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


@torch.no_grad()
def anchored(student: LanguageModel, base: LanguageModel, share: float) -> None:
    """Put `student`, in place, `share` of the way back to `base`, in [0, 1]: 0 leaves it where it is.

    Weights between those before and after fine-tuning keep more of what was known than they lose of what was learnt
    (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903). Done after every lesson it bounds the drift of a stream: after
    any number of lessons that each move the weights by d, they lie at most d / share from the base.
    """
    if not share:
        return
    theirs = dict(base.model.named_parameters())
    for name, mine in student.model.named_parameters():
        mine.copy_(theirs[name].to(mine.device, torch.float32).lerp(mine.float(), 1 - share))
