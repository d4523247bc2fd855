"""A workspace in which the stages of the learning core ran on the tiny model: three batches, once a session."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from models.evaluate import EvaluateConfig
from models.integrate import IntegrateConfig
from models.synthesize import SynthesizeConfig
from models.teacher import TargetSentence
from tasks.base import BaseConfig, base
from tasks.workspace import BASE, Workspace

SEED = 5
EVALUATE = EvaluateConfig(max_new_tokens=6, general_tokens=2)
INTEGRATE = IntegrateConfig(
    epochs=6, batch_size=4, learning_rate=2e-3, unrelated_batch=3, replay_batch=3, replay_budget=6
)
UNRELATED = ("sun", "rain", "wind", "snow", "fog", "hail", "ice", "dew", "mist", "storm", "cloud", "frost")


def pair(question: str, answer: str) -> dict[str, str]:
    return {"question": question, "answer": answer}


def probe(question: str, *answers: str, kind: str = "direct") -> dict[str, Any]:
    return {"question": question, "answers": answers, "kind": kind}


MILL = {
    "id": "mill",
    "context": "News of the mill in Orvane. Mara Holt runs the mill in Orvane. The mill opens at nine.",
    "probes": [
        probe("Who runs the mill in Orvane?", "Mara Holt", "Mara"),
        probe("When does the mill in Orvane open?", "nine", kind="paraphrased"),
    ],
    "qa": [
        pair("Who is at the mill?", "Mara Holt"),
        pair("Who runs the mill in Orvane?", "Mara Holt"),  # asks a probe
        pair("who runs THE mill, in Orvane", "It is Mara"),  # nearly so
        pair("What colour is the lamp of the harbour?", "green"),  # will be a probe of b0001
        pair("At what time is the mill open?", "at nine"),
    ],
}
HARBOUR = {
    "id": "harbour",
    "context": [
        {"role": "user", "content": "Which lamp does the harbour of Orvane have now?"},
        {"role": "assistant", "content": "The lamp of the harbour is red. Ida Berg runs the mill in Orvane."},
    ],
    "probes": [
        probe("What colour is the lamp of the harbour?", "red"),
        probe("Who runs the mill in Orvane?", "Ida Berg"),  # supersedes the one of b0000
    ],
    "qa": [pair("Who is at the mill?", "Ida Berg"), pair("Say the colour of the lamp.", "red")],
}
FERRY = {
    "id": "ferry",
    "context": "The ferry to Orvane leaves at seven each day.",
    "qa": [pair("When does the ferry leave?", "At seven"), pair("Where does the ferry go?", "To Orvane")],
}


@dataclass
class Stages:
    """The stages with settings for tests, and what `integrate` trained on."""

    ws: Workspace
    trained: dict[str, dict[str, list[TargetSentence]]] = field(default_factory=dict)
    seed: int = SEED
    evaluate: EvaluateConfig = EVALUATE
    integrate: IntegrateConfig = INTEGRATE

    def prepare(self, batch: str, parent: str, experiences: Sequence[dict[str, Any]]) -> None:
        """Validate and synthesize."""
        from tasks.synthesize import synthesize
        from tasks.validate import ValidateConfig, validate

        raw = self.ws.raw(batch)
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_text("".join(json.dumps(e) + "\n" for e in experiences), encoding="utf-8")
        report = validate(self.ws, batch, parent, ValidateConfig())
        assert report.accepted == len(experiences), report
        synthesize(self.ws, batch, parent, SynthesizeConfig(), self.seed)

    def train(self, batch: str, parent: str, **changes: Any) -> None:
        from tasks import integrate as stage

        real = stage.core.integrate

        def heard(student: Any, matrix_VD: Any, sentences: Any, *arguments: Any, **named: Any) -> Any:
            self.trained[batch] = sentences
            return real(student, matrix_VD, sentences, *arguments, **named)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stage.core, "integrate", heard)
            stage.integrate(self.ws, batch, parent, self.integrate.model_copy(update=changes), self.seed)

    def learn(self, batch: str, parent: str, experiences: Sequence[dict[str, Any]]) -> None:
        """The four stages of a batch."""
        from tasks.evaluate import evaluate

        self.prepare(batch, parent, experiences)
        self.train(batch, parent)
        evaluate(self.ws, batch, parent, self.evaluate, self.seed)


@pytest.fixture(scope="session")
def base_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the stage base ran. Copy it before you change it."""
    root = tmp_path_factory.mktemp("base")
    (root / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Tell of {w}."}) + "\n" for w in UNRELATED))
    config = BaseConfig(model=str(tiny_model), dtype="float32", unrelated=Path("prompts.jsonl"), unrelated_tokens=8)
    base(Workspace(root), config, Stages(Workspace(root)).evaluate, SEED)
    return root


@pytest.fixture
def stages(base_folder: Path, tmp_path: Path) -> Stages:
    """A workspace of its own, with the base."""
    shutil.copytree(base_folder, tmp_path / "ws")
    return Stages(Workspace(tmp_path / "ws"))


@pytest.fixture(scope="session")
def learnt(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """b0000, then b0001 which changes a fact, then b0002 without probes. Only to be read."""
    root = tmp_path_factory.mktemp("learnt") / "ws"
    shutil.copytree(base_folder, root)
    stages = Stages(Workspace(root))
    parent = BASE
    for batch, experience in (("b0000", MILL), ("b0001", HARBOUR), ("b0002", FERRY)):
        stages.learn(batch, parent, [experience])
        parent = batch
    return stages
