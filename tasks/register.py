"""Records a batch that was learnt in MLflow: one run with all that was measured, and the version that came of it.

The version is created last, in one call that carries its tags: there is a whole version or none. What a killed
call left behind is marked FAILED, deleted and made anew by the next one; a finished one is found again by the
digest of its weights. Nothing here moves the champion.

MLflow keeps a copy of the weights of its own, 270 MB a version for 135M parameters in bfloat16: DVC empties and
rewrites `data/weights/` as it sees fit, and a version that somebody serves must stay what it was. Old copies go
by the recipe in `mlflow/README.md`.
"""

import hashlib
import json
import logging
import math
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from models.files import read_json
from tasks import mlmodel, plots, registry
from tasks.digests import locked, of_weights, weights_digest
from tasks.registry import RegisterConfig, RegisteredVersion
from tasks.workspace import Workspace

__all__ = ["RegisterConfig", "RegisteredVersion", "register"]

log = logging.getLogger("selfparam")


def register(
    ws: Workspace, batch: str, parent: str, config: RegisterConfig, params: Mapping[str, Any]
) -> RegisteredVersion:
    """Make the version of `batch`, or return the one that holds exactly these weights already.

    `params` is the whole of `params.yaml`. The new version is the challenger until the gate has decided.
    """
    if not ws.weights(batch).is_dir():
        raise ValueError(f"{batch} has no weights to register; `selfparam run` integrates it first")
    mlflow = registry.client(ws, config)
    digest = weights_digest(ws.weights(batch))
    existing = _same(ws, config, batch, digest)
    if existing is None:
        experiment = _experiment(mlflow, ws, config)
        _discard_unfinished(mlflow, experiment, batch, config.model, registry.versions(ws, config))
        _record(mlflow, ws, batch, parent, config, params, experiment, digest)
        existing = _same(ws, config, batch, digest)
        assert existing is not None
        log.info("register %s as version %d of %s", batch, existing.number, config.model)
    if mlflow.get_run(existing.run_id).info.status != "FINISHED":
        mlflow.set_terminated(existing.run_id, "FINISHED")
    if existing.verdict is None and not existing.aliases:
        mlflow.set_registered_model_alias(config.model, registry.CHALLENGER, str(existing.number))
    return registry.find(ws, config, str(existing.number)) or existing


def _same(ws: Workspace, config: RegisterConfig, batch: str, digest: str) -> RegisteredVersion | None:
    return of_weights([v for v in registry.versions(ws, config) if v.batch == batch], digest)


def _experiment(mlflow: MlflowClient, ws: Workspace, config: RegisterConfig) -> str:
    found = mlflow.get_experiment_by_name(config.experiment)
    if found is not None:
        return found.experiment_id
    local = config.uri(ws).startswith("sqlite:")  # a server decides itself where its artifacts lie
    location = (ws.mlflow_folder / "artifacts").resolve().as_uri() if local else None
    return mlflow.create_experiment(config.experiment, artifact_location=location)


def _discard_unfinished(
    mlflow: MlflowClient, experiment: str, batch: str, model: str, known: list[RegisteredVersion]
) -> None:
    """Mark as FAILED and delete what a killed `register` of this batch left: runs that no version stands for.

    Runs of another workspace, which registers its versions as another `model`, are not ours to end.
    """
    kept = {v.run_id for v in known}
    mine = f"tags.batch = '{batch}' and tags.registered_as = '{model}' and attributes.status != 'FINISHED'"
    for run in mlflow.search_runs([experiment], mine):
        if run.info.run_id in kept:
            continue
        models = mlflow.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'")
        for logged in models:
            mlflow.delete_logged_model(logged.model_id)
        mlflow.set_terminated(run.info.run_id, "FAILED")
        mlflow.delete_run(run.info.run_id)
        log.info("register %s: the unfinished run %s is discarded", batch, run.info.run_id)


def _record(
    mlflow: MlflowClient,
    ws: Workspace,
    batch: str,
    parent: str,
    config: RegisterConfig,
    params: Mapping[str, Any],
    experiment: str,
    digest: str,
) -> None:
    tags = _origin(ws, batch, parent) | {"weights.sha256": digest}
    shown = {
        "registered_as": config.model,
        "mlflow.source.name": "selfparam",
        "mlflow.source.git.commit": tags.get("git.commit", ""),
    }
    run = mlflow.create_run(experiment, run_name=batch, tags=tags | shown).info.run_id
    try:
        mlflow.log_batch(run, tags=[RunTag(f"version.{name}", value) for name, value in _versions().items()])
        settings = [Param(name, str(value)[:6000]) for name, value in _flat(params, ".")]
        for some in _chunks(settings, 100):
            mlflow.log_batch(run, params=some)
        model = mlflow.create_logged_model(
            experiment, batch, run, tags=tags, params={p.key: p.value for p in settings}, model_type="causal-lm"
        ).model_id
        metrics = [*_steps(ws.training(batch)), *_evaluation(ws.metrics(batch), model)]
        for some in _chunks(metrics, 1000):
            mlflow.log_batch(run, metrics=some)
        mlflow.log_inputs(run, [_dataset(ws, batch)])
        with TemporaryDirectory(prefix="selfparam-register-") as folder:
            _log_files(mlflow, run, ws, batch, Path(folder))
            layout = Path(folder) / "version"
            mlmodel.lay_out(
                ws.weights(batch),
                layout,
                max_new_tokens=config.max_new_tokens,
                dtype=config.answer_dtype,
                model_id=model,
                run_id=run,
            )
            mlflow.log_model_artifacts(model, str(layout))
        location = mlflow.finalize_logged_model(model, "READY").artifact_location
        if not mlflow.search_registered_models(f"name='{config.model}'"):
            mlflow.create_registered_model(config.model, description="One version a batch learnt; see the tags.")
        # The artifacts' own address, not models:/<id>: MLflow would look that up in its global tracking URI.
        mlflow.create_model_version(config.model, location, run, tags=tags, model_id=model)
    except (MlflowException, OSError, ValueError):
        mlflow.set_terminated(run, "FAILED")
        raise
    mlflow.set_terminated(run, "FINISHED")


def _origin(ws: Workspace, batch: str, parent: str) -> dict[str, str]:
    """Tags that lead from a version back to exactly the data and code that it came from."""
    tags = {"batch": batch, "parent": parent}
    if ws.raw(batch).exists():
        tags["raw.sha256"] = hashlib.sha256(ws.raw(batch).read_bytes()).hexdigest()
    hashes = locked(ws)
    for name, path in {
        "raw": ws.raw(batch),
        "validated": ws.validated(batch),
        "qa": ws.qa(batch),
        "weights": ws.weights(batch),
        "parent_weights": ws.weights(parent),
        "evaluation": ws.evaluation(batch),
    }.items():
        if md5 := hashes.get(path.relative_to(ws.root).as_posix()):
            tags[f"dvc.{name}"] = md5
    if commit := _git(ws, "rev-parse", "HEAD"):
        tags["git.commit"] = commit
        tags["git.changed"] = str(bool(_git(ws, "status", "--porcelain", "--untracked-files=no"))).lower()
    return tags


def _git(ws: Workspace, *arguments: str) -> str:
    """What git answers, or nothing where the workspace is no git repository or has no commit."""
    try:
        answer = subprocess.run(["git", "-C", str(ws.root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "mlflow", "dvc")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


def _flat(value: Mapping[str, Any], separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": 1}}` as `("a.b", 1)`."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, separator, f"{prefix}{name}{separator}")
        else:
            yield f"{prefix}{name}", inner


def _steps(csv: Path) -> Iterator[Metric]:
    """Every number of the training table, named `integrate/<column>`; what was not measured at a step is left out."""
    if not csv.exists():
        return
    now = int(time.time() * 1000)
    for row in pd.read_csv(csv).to_dict("records"):
        step = int(row.pop("step"))
        for name, value in row.items():
            if isinstance(value, int | float) and math.isfinite(value):
                yield Metric(f"integrate/{name}", float(value), now, step)


def _evaluation(path: Path, model: str) -> Iterator[Metric]:
    """Every number of the metrics file, named `evaluate/efficacy/closed_book/f1`, on the run and on its model."""
    now = int(time.time() * 1000)
    measured = read_json(path) if path.exists() else {}
    for name, value in _flat(measured, "/", "evaluate/"):
        if isinstance(value, int | float) and math.isfinite(value):
            yield Metric(name, float(value), now, 0, model_id=model)


def _dataset(ws: Workspace, batch: str) -> DatasetInput:
    """The raw batch as MLflow's dataset, with the digest by which DVC knows the file (36 letters at most fit)."""
    raw = ws.raw(batch)
    data = raw.read_bytes() if raw.exists() else b""
    source = json.dumps({"uri": raw.relative_to(ws.root).as_posix()})
    profile = json.dumps({"experiences": data.count(b"\n"), "bytes": len(data)})
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    dataset = Dataset(batch, digest, source_type="local", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "integration")])


def _log_files(mlflow: MlflowClient, run: str, ws: Workspace, batch: str, scratch: Path) -> None:
    """The plots, reports, settings and environment of the round, each where the run's page shows it."""
    if ws.training(batch).exists():
        plots.plot_training(ws.training(batch), scratch / "training.png")
        mlflow.log_artifact(run, str(scratch / "training.png"), "plots")
    if learnt := _lineage(ws, batch):
        plots.plot_efficacy(learnt, scratch / "efficacy.png", scratch / "efficacy.json")
        for name in ("efficacy.png", "efficacy.json"):
            mlflow.log_artifact(run, str(scratch / name), "plots")
    drawn = ws.evaluation(batch) / "plots"
    if drawn.is_dir():
        mlflow.log_artifacts(run, str(drawn), "plots")
    general = [ws.evaluation(batch) / f"general.{kind}" for kind in ("json", "jsonl")]
    reports = {
        "validate": [ws.validated(batch) / "report.html", ws.validated(batch) / "report.json"],
        "synthesize": [ws.qa(batch) / "report.json"],
        "integrate": [ws.training(batch), ws.weights(batch) / "provenance.json"],
        "evaluate": [ws.metrics(batch), ws.retention(batch), *general],
        "data": [ws.root / "dvc.lock", ws.root / "dvc.yaml", ws.batches, ws.params],
    }
    for place, files in reports.items():
        for file in files:
            if file.exists():
                mlflow.log_artifact(run, str(file), place)
    installed = sorted({f"{d.name}=={d.version}" for d in distributions()}, key=str.lower)
    mlflow.log_text(run, "\n".join(installed) + "\n", f"environment/python-{platform.machine()}.txt")


def _lineage(ws: Workspace, batch: str) -> list[dict[str, Any]]:
    """The metrics of this version and of those it was built on that had probes of their own, oldest first."""
    line: list[dict[str, Any]] = []
    version: str | None = batch
    while version and ws.metrics(version).exists():
        measured = read_json(ws.metrics(version))
        if (measured.get("efficacy") or {}).get("probes"):
            line.insert(0, measured)
        version = measured.get("parent")
    return line


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
