"""The tiny model, opened fresh for every test, and target sentences that it taught."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.model import LanguageModel, load
from models.teacher import TargetSentence, target_sentences

CONTEXT = "Day notes. Mara Holt runs the mill in Orvane. It opens at 9."
PAIRS = [("Who runs it?", "Mara Holt"), ("Where is the mill?", "In Orvane, by the sea."), ("When?", "9")]


@pytest.fixture
def lm(tiny_model: Path) -> LanguageModel:
    """In float32: what rounding hides would hide a defect too."""
    return load(tiny_model, dtype=torch.float32)


@pytest.fixture
def sentences(lm: LanguageModel) -> list[TargetSentence]:
    """Three sentences of one experience."""
    return target_sentences(lm, CONTEXT, PAIRS, origin="b0000", experience="mill")


@pytest.fixture
def unrelated(lm: LanguageModel) -> list[TargetSentence]:
    pairs = [(f"Say {word}.", word * 2) for word in ("sun", "rain", "wind", "snow", "fog")]
    return target_sentences(lm, None, pairs, origin="unrelated")


@pytest.fixture
def sentence() -> Callable[..., TargetSentence]:
    """Makes a sentence with made-up states."""

    def make(question: str, *, origin: str = "b0000", experience: str = "e", answer: int = 1) -> TargetSentence:
        ids = tuple(range(answer, answer + 3))
        return TargetSentence(question, (1, 2), ids, torch.full((3, 4), float(answer)), origin, experience)

    return make
