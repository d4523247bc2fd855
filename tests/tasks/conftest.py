"""Workspaces: those in which the learning stages ran on the tiny model, and one with an MLflow of its own."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models import model as core
from models.configs import BaseConfig, EvaluateConfig, IntegrateConfig, SynthesizeConfig
from models.teacher import TargetSentence
from tasks import registry
from tasks.base import base
from tasks.register import RegisterConfig
from tasks.workspace import BASE, Workspace

SEED = 5
EVALUATE = EvaluateConfig(max_new_tokens=6, general_tokens=2)
INTEGRATE = IntegrateConfig(
    epochs=6, least_steps=0, batch_size=4, learning_rate=2e-3, unrelated_batch=3, replay_batch=3, replay_budget=6
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
        synthesize(self.ws, batch, parent, SynthesizeConfig(beside_given=False), self.seed)

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
    config = BaseConfig(
        model=str(tiny_model), dtype="float32", unrelated=Path("prompts.jsonl"), unrelated_tokens=8, unrelated_samples=0
    )
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


WORDS = (
    "{% for message in messages %}<s> {{ message['role'] }} {{ message['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)


def write_weights(folder: Path, *, seed: int, chat: bool = True) -> None:
    words = ["<unk>", "<s>", "</s>", "user", "assistant", "Question:", "Answer:", *(f"w{i}" for i in range(57))]
    words_to_ids = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(words_to_ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
    if chat:
        fast.chat_template = WORDS
    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    core.save(LlamaForCausalLM(shape), fast, folder, dtype=torch.bfloat16)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights, and an empty database: its migrations take longer than any test here."""
    folder = tmp_path_factory.mktemp("prepared")
    write_weights(folder / "weights", seed=0)
    write_weights(folder / "other", seed=1)
    registry.client(Workspace(folder), RegisterConfig()).search_experiments()
    return folder


@pytest.fixture
def ws(prepared: Path, tmp_path: Path) -> Workspace:
    """A workspace with an MLflow database of its own."""
    workspace = Workspace(tmp_path)
    shutil.copytree(prepared / "mlflow", workspace.mlflow_folder)
    return workspace


@pytest.fixture
def done(ws: Workspace, prepared: Path) -> Callable[..., None]:
    """Put on disk what the stages leave behind for a batch."""

    def write(batch: str, weights: str = "weights") -> None:
        shutil.copytree(prepared / weights, ws.weights(batch), dirs_exist_ok=True)
        (ws.weights(batch) / "provenance.json").write_text("{}")
        files = {
            ws.raw(batch): f'{{"id": "{batch}"}}\n',
            ws.training(batch): "step,loss,kl_new,kl_replay,learning_rate,tokens_per_second\n"
            "0,2.0,1.9,,1e-4,100\n1,1.0,0.9,,5e-5,110\n",
            ws.metrics(batch): json.dumps(
                {
                    "version": batch,
                    "efficacy": {
                        "probes": 2,
                        "open_book": {"contains": 0.5},
                        "closed_book_before": {"contains": 0.0},
                        "closed_book": {"contains": 0.5},
                        "recovered_gap": None,
                    },
                    "general": {"accuracy": 0.9},
                }
            ),
            ws.retention(batch): "version,batch\n",
            ws.evaluation(batch) / "plots" / "retention.png": "png",
            ws.validated(batch) / "report.html": "<p>fine</p>",
        }
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


@pytest.fixture
def plain_weights(ws: Workspace) -> Callable[[str], None]:
    """Weights of a model without a chat template."""
    return lambda batch: write_weights(ws.weights(batch), seed=0, chat=False)
