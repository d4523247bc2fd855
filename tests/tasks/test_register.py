"""Registration with a real MLflow on SQLite: nothing twice, nothing half, and readable by a stranger."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mlflow import MlflowClient

from models import model as core
from models.answers import answer
from tasks import registry
from tasks.register import RegisterConfig, register
from tasks.workspace import Workspace

CONFIG = RegisterConfig()
AT = datetime(2026, 1, 2, tzinfo=UTC)
QUESTIONS = ["w1 w2 w3", "w4 w5", "w6 w7 w8 w9"]


def test_a_run_holds_what_was_measured_and_leads_back_to_the_data(ws: Workspace, done: Callable[..., None]) -> None:
    done("b0000")
    lock = {"stages": {"integrate@b0000": {"outs": [{"path": "data/weights/b0000", "md5": "abc.dir"}]}}}
    (ws.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    version = register(ws, "b0000", "base", CONFIG, {"seed": 7, "integrate": {"learning_rate": 1e-4}})

    assert (version.number, version.batch, version.parent, version.aliases) == (1, "b0000", "base", ("challenger",))
    assert version.tags["dvc.weights"] == "abc.dir"
    assert len(version.tags["raw.sha256"]) == 64
    mlflow = registry.client(ws, CONFIG)
    run = mlflow.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "7", "integrate.learning_rate": "0.0001"}
    assert run.data.metrics["evaluate/efficacy/closed_book/contains"] == 0.5
    assert "evaluate/efficacy/recovered_gap" not in run.data.metrics
    assert [m.value for m in mlflow.get_metric_history(version.run_id, "integrate/kl_new")] == [1.9, 0.9]
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, len(dataset.dataset.digest)) == ("b0000", 32)
    folders = {file.path for file in mlflow.list_artifacts(version.run_id)}
    assert folders == {"plots", "validate", "integrate", "evaluate", "data", "environment"}
    assert {f.path for f in mlflow.list_artifacts(version.run_id, "plots")} == {
        "plots/training.png",
        "plots/retention.png",
        "plots/efficacy.png",
        "plots/efficacy.json",
    }


def test_the_registry_keeps_the_same_bytes_once_and_nothing_pickled(ws: Workspace, done: Callable[..., None]) -> None:
    done("b0000")
    version = register(ws, "b0000", "base", CONFIG, {})
    kept = registry.folder(ws, CONFIG, version)
    for file in ws.weights("b0000").iterdir():
        assert not (kept / file.name).is_symlink()
        if file.name != "generation_config.json":
            assert (kept / file.name).read_bytes() == file.read_bytes()
    everything = [path for path in ws.mlflow_folder.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in everything) == 1
    assert not {path.suffix for path in everything} & {".pkl", ".bin", ".pt", ".pth", ".py"}


def test_registering_again_finds_the_version_that_is_there(ws: Workspace, done: Callable[..., None]) -> None:
    done("b0000")
    first = register(ws, "b0000", "base", CONFIG, {})
    (ws.weights("b0000") / "provenance.json").write_text('{"written": "later"}')
    assert register(ws, "b0000", "base", CONFIG, {}) == first
    mlflow = registry.client(ws, CONFIG)
    (experiment,) = mlflow.search_experiments(filter_string=f"name = '{CONFIG.experiment}'")
    assert len(mlflow.search_runs([experiment.experiment_id])) == 1
    elsewhere = mlflow.create_run(experiment.experiment_id, tags={"batch": "b0000", "registered_as": "another"}).info
    done("b0000", weights="other")
    assert register(ws, "b0000", "base", CONFIG, {}).number == 2
    assert mlflow.get_run(elsewhere.run_id).info.status == "RUNNING"  # another workspace is at work
    assert registry.resolve(ws, CONFIG, "b0000") == registry.resolve(ws, CONFIG, "2")


class Killed(BaseException):
    """As abrupt as a signal: no `except Exception` sees it."""


WRITES = [
    "create_experiment",
    "create_run",
    "log_batch",
    "create_logged_model",
    "log_inputs",
    "log_artifact",
    "log_artifacts",
    "log_text",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_terminated",
    "set_registered_model_alias",
]


def test_killed_between_any_two_calls_the_next_call_completes_it(
    ws: Workspace, done: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    done("b0000")
    champion = register(ws, "b0000", "base", CONFIG, {})
    registry.promote(ws, CONFIG, champion.number, who="test", why="first", at=AT)
    monkeypatch.setattr("tasks.register.distributions", tuple)  # what is slow and beside the point
    monkeypatch.setattr("tasks.plots.plot_training", lambda _, png: png.touch())
    monkeypatch.setattr("tasks.plots.plot_efficacy", lambda _, png, vega: (png.touch(), vega.touch()))
    calls = 0
    deadline = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == deadline:
                raise Killed
            return real(*arguments, **named)

        return call

    for name in WRITES:
        monkeypatch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
    mlflow = registry.client(ws, CONFIG)
    (experiment,) = mlflow.search_experiments(filter_string=f"name = '{CONFIG.experiment}'")
    finished = False
    while not finished:
        deadline, calls = deadline + 1, 0
        batch = f"c{deadline:04d}"
        done(batch)
        try:
            register(ws, batch, "b0000", CONFIG, {})
            finished = True
        except Killed:
            held = registry.champion(ws, CONFIG)
            assert held is not None
            assert held.number == champion.number
        calls = -(10**6)  # from here nothing is killed
        version = register(ws, batch, "b0000", CONFIG, {})
        assert [v.batch for v in registry.versions(ws, CONFIG)].count(batch) == 1
        (run,) = mlflow.search_runs([experiment.experiment_id], f"tags.batch = '{batch}'")
        assert (run.info.run_id, run.info.status) == (version.run_id, "FINISHED")
        models = mlflow.search_logged_models([experiment.experiment_id], f"name = '{batch}'")
        assert [m.source_run_id for m in models] == [version.run_id]
        assert version.aliases == ("challenger",)
        assert (registry.folder(ws, CONFIG, version) / "model.safetensors").exists()
    assert deadline > 15


def test_pickled_weights_are_refused(ws: Workspace, done: Callable[..., None]) -> None:
    done("b0000")
    (ws.weights("b0000") / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="nothing pickled"):
        register(ws, "b0000", "base", CONFIG, {})
    assert registry.versions(ws, CONFIG) == []


STRANGER = """
import importlib.abc, json, pickle, sys

class NotOurs(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tasks", "models", "flows"):
            raise ImportError(name)

sys.meta_path.insert(0, NotOurs())
import mlflow, torch

def refused(*_, **__):
    raise AssertionError("something was unpickled")

pickle.load = pickle.loads = torch.load = refused
pipeline = mlflow.transformers.load_model("models:/selfparam@champion")
function = mlflow.pyfunc.load_model("models:/selfparam@champion")
answers = []
for question in json.loads(sys.argv[1]):
    messages = [{"role": "user", "content": question}]
    (reply,) = function.predict({"messages": messages})
    answers.append([pipeline(messages)[0]["generated_text"][-1]["content"], reply["choices"][0]["message"]["content"]])
print("ANSWERS", json.dumps(answers))
"""


def test_a_stranger_with_only_the_registry_gets_our_answers(
    ws: Workspace, done: Callable[..., None], tmp_path: Path
) -> None:
    done("b0000")
    version = register(ws, "b0000", "base", CONFIG, {})
    registry.promote(ws, CONFIG, version.number, who="ann", why="first", at=AT)
    lm = core.load(ws.weights("b0000"), dtype=torch.float32)
    ours = [answer(lm, [question])[0] for question in QUESTIONS]
    shutil.rmtree(ws.root / "data")  # the registry is all that is left

    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": CONFIG.uri(ws),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_OFFLINE": "1",
    }
    heard = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(QUESTIONS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert heard.returncode == 0, heard.stderr
    (line,) = [line for line in heard.stdout.splitlines() if line.startswith("ANSWERS ")]
    theirs = json.loads(line.removeprefix("ANSWERS "))
    assert [native.strip() for native, _ in theirs] == ours
    assert [pyfunc.strip() for _, pyfunc in theirs] == ours
    assert len(set(ours)) > 1


def test_a_model_without_chat_template_takes_plain_prompts(ws: Workspace, plain_weights: Callable[[str], None]) -> None:
    import mlflow

    plain_weights("b0000")
    version = register(ws, "b0000", "base", CONFIG, {})
    function = mlflow.pyfunc.load_model(str(registry.folder(ws, CONFIG, version).parent))
    (reply,) = function.predict({"prompt": "Question: w1 w2\nAnswer:"})
    lm = core.load(ws.weights("b0000"), dtype=torch.float32)
    assert reply["choices"][0]["text"].strip() == answer(lm, ["w1 w2"])[0]
