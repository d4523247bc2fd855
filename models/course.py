"""The course of an integration: which sentences each step sees, at which rate it learns, and when it ends.

The rate warms up and stays at its peak, pass after pass over the new sentences, until the KL on some that are held out
stops falling (early stopping, Prechelt 1998). Then come the last passes, in which the held-out sentences are learnt as
well and the rate falls to zero (the schedule is warmup-stable-decay, Hu et al. 2024). Where none is held out, the
passes are counted, and a lesson of few sentences has more of them: what the first steps disturb takes some steps to be
made good. All is decided from what was logged so far, so that a killed integration goes on as it would have gone on.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from models.configs import CourseConfig

NEW = "new"
FEWEST = 16  # new sentences; of fewer none is held out
MOST = 64  # held out: more tell no more, and all are measured at once


class Step(NamedTuple):
    """Indices of sentences by group; `rate` is the share of the peak learning rate, in (0, 1].

    `is_measured` says that the KL on the held-out sentences is wanted after this step, `steps` how many there will be
    in all: at most so many while the end is not decided. `begins` holds the new sentences of the pass whose first step
    it is, and none in other steps.
    """

    batch: dict[str, list[int]]
    rate: float
    is_measured: bool
    steps: int
    begins: tuple[int, ...] = ()


class Course:
    """Every new sentence once a pass; beside them, in each step, so many of each other group, in turn."""

    def __init__(self, sizes: Mapping[str, int], beside: Mapping[str, int], config: CourseConfig, seed: int) -> None:
        """`sizes` of the groups, "new" among them; `beside` how many of each other group a step sees.

        Then `held_out` are the new sentences that are held out, and `most_steps` how many there will be at most.
        """
        self._config = config
        generator = torch.Generator().manual_seed(seed)
        new = torch.randperm(sizes[NEW], generator=generator).tolist()
        wanted = min(math.ceil(config.held_out * len(new)), MOST) if len(new) >= FEWEST else 0
        shortest = max(1, math.ceil((len(new) - wanted) / config.batch_size))  # steps of a pass
        longer = max(1.0, config.least_steps / (config.epochs * shortest))  # all of a short lesson alike
        epochs, last_epochs = math.ceil(config.epochs * longer), config.last_epochs * longer
        last = min(math.ceil(last_epochs), epochs)
        count = wanted if epochs > last else 0
        self.held_out = sorted(new[:count])
        self._passes = [_shuffled(new[count:], generator) for _ in range(epochs - last)]
        self._last = [_shuffled(new, generator) for _ in range(last)]
        self._a_pass = math.ceil((len(new) - count) / config.batch_size)
        self._a_last_pass = math.ceil(len(new) / config.batch_size)
        self._end = last * self._a_last_pass  # steps of the last passes
        self._fall = max(1, min(round(last_epochs * self._a_last_pass), self._end))
        self._rise = max(1, round(config.warmup * longer * self._a_last_pass))
        self.most_steps = len(self._passes) * self._a_pass + self._end
        self._beside = beside
        self._order: dict[str, list[int]] = {group: [] for group in beside}
        for group, order in self._order.items():
            while sizes.get(group) and len(order) < self.most_steps * beside[group]:
                order += torch.randperm(sizes[group], generator=generator).tolist()
            del order[self.most_steps * beside[group] :]

    def seen(self, group: str) -> list[int]:
        """Which sentences of a group, not "new", some step may see; of the new ones all are seen."""
        return sorted(set(self._order[group]))

    def step(self, done: int, measured: Sequence[float]) -> Step | None:
        """The step after `done` others, where the held-out KL was `measured` after each pass; None at the end."""
        ends = (k for k in range(2, len(measured) + 1) if self._is_enough(measured[:k]))
        passes = next(ends, len(self._passes))
        plateau = passes * self._a_pass
        steps = plateau + self._end
        if done >= steps:
            return None
        if done < plateau:
            number, at = divmod(done, self._a_pass)
            order, is_last_of_pass = self._passes[number], at == self._a_pass - 1
        else:
            number, at = divmod(done - plateau, self._a_last_pass)
            order, is_last_of_pass = self._last[number], False
        size = self._config.batch_size
        batch = {NEW: order[at * size : (at + 1) * size]}
        for group, count in self._beside.items():
            batch[group] = self._order[group][done * count : (done + 1) * count]
        rate = min((done + 1) / self._rise, 1.0, (steps - done) / self._fall)
        begins = tuple(order) if at == 0 else ()
        return Step(batch, rate, is_last_of_pass and bool(self.held_out), steps, begins)

    def _is_enough(self, measured: Sequence[float]) -> bool:
        before, now = measured[-2:]
        steps = len(measured) * self._a_pass + self._end
        return steps >= self._config.least_steps and now > (1 - self._config.least_fall) * before


def _shuffled(indices: Sequence[int], generator: torch.Generator) -> list[int]:
    return [indices[i] for i in torch.randperm(len(indices), generator=generator).tolist()]
