"""What is measured of a training loop beside its loss: its own time, its memory, and what its model knows by heart.

Containment is the share of the records' probes whose gold answer stands in the model's greedy answer, in [0, 1]
(`models.metrics.contains`). It is taken with the clock stopped. Knows no loop.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.memory import peak_memory
from models import attention
from models.configs import EvaluateConfig
from models.evaluate import Question, answer_probes, mean_scores
from models.model import LanguageModel

Figures = dict[str, Any]  # a cell for each of FIGURES, and `curve`: [[seconds, containment], ...]

FIGURES = (
    "target tokens",
    "seconds",
    "of which teacher",
    "tokens/s",
    "peak memory (GB)",
    "KL at the end",
    "contained, closed book",
)


class Clock:
    """Seconds since it was made, less those inside `stopped`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left_out = 0.0
        self._started = now()

    @property
    def seconds(self) -> float:
        return self._now() - self._started - self._left_out

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside takes no time."""
        since = self._now()
        try:
            yield
        finally:
            self._left_out += self._now() - since


class Watch:
    """The clock of one loop, and what its model answered to `questions` after every so many steps (0: at the end)."""

    def __init__(self, questions: Sequence[Question], *, every: int) -> None:
        self.clock = Clock()
        self.curve: list[tuple[float, float | None]] = []
        self._questions = questions
        self._every = every

    def start(self) -> Clock:
        """Time runs from here: the models are loaded, the optimiser is made."""
        self.clock = Clock()
        return self.clock

    def after(self, step: int, lm: LanguageModel) -> None:
        """To be called after each optimiser step, counted from 1."""
        if self._every and step % self._every == 0:
            self._measure(lm)

    def figures(self, lm: LanguageModel, *, tokens: int, taught: float, kl: float) -> Figures:
        """To be called where the timed part ends.

        Args:
            tokens: how many carried loss, over all steps.
            taught: seconds in which the teacher ran ahead; 0 where it runs in every step.
            kl: mean KL(teacher || student) of the last step, in nats per token.
        """
        seconds = self.clock.seconds
        memory = peak_memory(lm.device)
        self._measure(lm)
        cells = (tokens, seconds, taught, tokens / seconds, memory, kl, self.curve[-1][1])
        return dict(zip(FIGURES, cells, strict=True)) | {"curve": self.curve}

    def _measure(self, lm: LanguageModel) -> None:
        seconds = self.clock.seconds
        with self.clock.stopped():
            self.curve.append((seconds, containment(lm, self._questions)))


def containment(lm: LanguageModel, questions: Sequence[Question]) -> float | None:
    """Mean over `questions`, None without any; attention and mode of the model are afterwards what they were."""
    training, used = lm.model.training, lm.model.config._attn_implementation
    lm.model.eval().set_attn_implementation(attention.NAME)  # the loops of others train with another
    scores = mean_scores(answer_probes(lm, questions, EvaluateConfig()))
    lm.model.train(training).set_attn_implementation(used)
    return scores["contains"] if scores else None


def reached(curve: Sequence[tuple[float, float | None]], level: float) -> float | None:
    """Seconds after which containment was first measured to be `level` or more; None if it never was."""
    return next((seconds for seconds, share in curve if share is not None and share >= level), None)
