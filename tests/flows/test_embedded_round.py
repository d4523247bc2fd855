"""One round on the real embedded model, from the bundled sample to an answer that a stranger gets, too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.init import template
from models.files import read_json
from tasks.bundle import unrelated_prompts
from tasks.workspace import Workspace
from tests.flows.conftest import call, environment

QUESTION = "Who is the repair chief of the ferry Silver Otter?"
STRANGER = """
import sys
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
pipeline = mlflow.transformers.load_model("models:/selfparam/1")
print("SAYS", pipeline([{"role": "user", "content": sys.argv[2]}])[0]["generated_text"][-1]["content"].strip())
"""


@pytest.mark.slow
def test_the_embedded_model_learns_an_experience(tmp_path: Path) -> None:
    call(tmp_path, "init", "ws")
    ws = Workspace(tmp_path / "ws")
    params = yaml.safe_load(ws.params.read_text(encoding="utf-8"))
    some = unrelated_prompts()[::10]
    (ws.root / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in some), encoding="utf-8")
    params |= {
        "base": {"unrelated": "prompts.jsonl", "unrelated_samples": 0, "unrelated_tokens": 12},
        "evaluate": {"general_tokens": 16},
    }
    params |= {
        "integrate": {"epochs": 2, "least_steps": 0, "layers": 0.34, "unrelated_batch": 4, "curvature_tokens": 500},
        "synthesize": {"samples": 0.25, "cloze": 0},
    }
    ws.params.write_text(yaml.safe_dump(params), encoding="utf-8")
    first = (template("sample") / "day-1.jsonl").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "one.jsonl").write_text(first + "\n", encoding="utf-8")
    call(ws.root, "ingest", str(tmp_path / "one.jsonl"))
    call(ws.root, "run")

    found = read_json(ws.metrics("b0000"))
    before, after = found["efficacy"]["closed_book_before"], found["efficacy"]["closed_book"]
    assert found["efficacy"]["open_book"]["contains"] >= 0.8  # the teacher can read
    assert after["log_likelihood"] > before["log_likelihood"] + 0.5  # and the student has learnt from it
    assert found["general"]["accuracy"] >= 0.8
    (batch,) = json.loads(call(ws.root, "status", "--json").stdout)["batches"]
    assert batch["state"] in {"accepted", "refused"}

    asked = call(ws.root, "ask", QUESTION, "--version", "1", "--json").stdout
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, f"sqlite:///{ws.mlflow_folder}/mlflow.db", QUESTION],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("SAYS", 1)[1].strip() == json.loads(asked)["answer"].strip()
