"""The tiny model, opened fresh for every test, and target sentences that it taught."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.configs import IntegrateConfig
from models.model import LanguageModel, load
from models.teacher import TargetSentence, target_sentences

CONTEXT = "Day notes. Mara Holt runs the mill in Orvane. It opens at 9."
PAIRS = [("Who runs it?", "Mara Holt"), ("Where is the mill?", "In Orvane, by the sea."), ("When?", "9")]
QUESTIONS = ["Who runs it?", "Where is the mill?", "When does it open?", "What is it?"]
CONFIG = IntegrateConfig(
    method="full",
    epochs=4,
    least_steps=0,
    batch_size=2,
    learning_rate=1e-3,
    unrelated_batch=2,
    unrelated_weight=1,
    unrelated_limit=10,
    row_tokens=128,
    layers=1,
)

Opener = Callable[..., LanguageModel]


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


@pytest.fixture
def fresh(tiny_model: Path) -> Opener:
    return lambda dtype=torch.float32: load(tiny_model, dtype=dtype)


@pytest.fixture
def groups(sentences: list[TargetSentence], unrelated: list[TargetSentence]) -> dict[str, list[TargetSentence]]:
    return {"new": sentences, "unrelated": unrelated, "replay": []}


@pytest.fixture
def matrix_VD(lm: LanguageModel) -> Tensor:
    return lm.output_matrix_VD.detach()


def same(a: LanguageModel, b: LanguageModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True))
