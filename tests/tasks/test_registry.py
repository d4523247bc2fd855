"""What is in the registry: one champion, a journal of who moved it, names that lead to folders."""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks import journal, registry
from tasks.register import RegisterConfig, register
from tasks.workspace import Workspace

CONFIG = RegisterConfig()
AT = datetime(2026, 1, 2, tzinfo=UTC)


class Killed(BaseException):
    """As abrupt as a signal: no `except Exception` sees it."""


def test_settling_promotes_once_and_the_journal_tells(ws: Workspace, done: Callable[..., None]) -> None:
    for batch, accepted in (("b0000", True), ("b0001", False), ("b0002", True)):
        done(batch)
        version = register(ws, batch, "base", CONFIG, {})
        for _ in range(2):
            settled = registry.settle(
                ws, CONFIG, version.number, accepted=accepted, reasons=["f1: 0.5 >= 0.4"], who="gate", at=AT
            )
        assert settled.verdict == ("accepted" if accepted else "refused")
        assert settled.aliases == (("champion",) if accepted else ())
    told = [(move.what, move.batch, move.was, move.champion) for move in journal.read(ws)]
    assert told == [
        ("accept", "b0000", None, None),
        ("promote", "b0000", None, 1),
        ("refuse", "b0001", 1, 1),
        ("accept", "b0002", 1, 1),
        ("promote", "b0002", 1, 3),
    ]
    run = registry.client(ws, CONFIG).get_run(version.run_id)
    assert run.data.metrics["gate/accepted"] == 1.0
    assert run.data.tags["gate.reasons"] == "f1: 0.5 >= 0.4"
    # Chosen by hand since then: settling again must not undo it, nor registering again make it a challenger.
    registry.promote(ws, CONFIG, 1, who="ann", why="better tone", at=AT)
    registry.settle(ws, CONFIG, 3, accepted=True, reasons=["f1: 0.5 >= 0.4"], who="gate", at=AT)
    register(ws, "b0002", "base", CONFIG, {})
    held = registry.champion(ws, CONFIG)
    assert held is not None
    assert held.number == 1
    assert registry.find(ws, CONFIG, "3").aliases == ()  # type: ignore[union-attr]


def test_a_database_whose_making_was_killed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command

    ws = Workspace(tmp_path)
    whole = command.upgrade

    def halved(config: Any, _revision: str) -> None:
        whole(config, "0584bdc529eb")  # some migrations later
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", halved)
        with pytest.raises(Killed):
            registry.client(ws, CONFIG)
    assert registry.versions(ws, CONFIG) == []
    registry.client(ws, CONFIG).create_experiment("one")
    assert [file.name for file in ws.mlflow_folder.iterdir()] == ["mlflow.db"]


def test_rollback_goes_back_one_champion_at_a_time(ws: Workspace, done: Callable[..., None]) -> None:
    for batch in ("b0000", "b0001", "b0002"):
        done(batch)
        number = register(ws, batch, "base", CONFIG, {}).number
        registry.promote(ws, CONFIG, number, who="gate", why="good", at=AT)
    assert registry.rollback(ws, CONFIG, who="ann", why="wrong answers", at=AT).number == 2
    assert registry.rollback(ws, CONFIG, who="ann", why="still wrong", at=AT).number == 1
    with pytest.raises(ValueError, match="no earlier champion"):
        registry.rollback(ws, CONFIG, who="ann", why="more", at=AT)
    registry.promote(ws, CONFIG, 3, who="ann", why="mended", at=AT)
    assert registry.rollback(ws, CONFIG, who="ann", why="not mended", at=AT).number == 1
    last = journal.read(ws)[-1]
    assert (last.who, last.why, last.was, last.champion, last.at) == ("ann", "not mended", 3, 1, AT)


def test_a_rollback_killed_before_its_line_gets_the_line_next_time(
    ws: Workspace, done: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch in ("b0000", "b0001", "b0002"):
        done(batch)
        registry.promote(ws, CONFIG, register(ws, batch, "base", CONFIG, {}).number, who="gate", why="good", at=AT)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            registry.rollback(ws, CONFIG, who="ann", why="wrong answers", at=AT)
    assert registry.rollback(ws, CONFIG, who="ann", why="wrong answers", at=AT).number == 2
    assert [(m.what, m.was, m.champion) for m in journal.read(ws)][-1] == ("rollback", 3, 2)
    assert registry.rollback(ws, CONFIG, who="ann", why="still wrong", at=AT).number == 1


def test_a_password_is_not_recorded(ws: Workspace) -> None:
    for uri in ("postgresql://ml:hunter2@db/mlflow", "https://ml:hunter2@mlflow.example.com"):
        with pytest.raises(ValueError, match="PGPASSWORD") as told:
            registry.RegisterConfig(tracking_uri=uri)
        assert "hunter2" not in str(told.value)
    assert registry.RegisterConfig(tracking_uri="postgresql://ml@db/mlflow").uri(ws) == "postgresql://ml@db/mlflow"


def test_a_journal_from_another_registry_does_not_speak_of_these_versions(
    ws: Workspace, prepared: Path, done: Callable[..., None]
) -> None:
    done("b0000")
    clone = Workspace(ws.root / "clone")
    shutil.copytree(prepared / "mlflow", clone.mlflow_folder)
    shutil.copytree(ws.root / "data", clone.root / "data")
    for workspace in (ws, clone):
        number = register(workspace, "b0000", "base", CONFIG, {}).number
        settled = registry.settle(workspace, CONFIG, number, accepted=True, reasons=["good"], who="gate", at=AT)
        assert (settled.number, settled.aliases) == (1, ("champion",))
        if workspace is ws:
            shutil.copy(ws.journal, clone.journal)  # comes with git, and the registry does not
    assert [(m.what, m.was) for m in journal.read(clone)] == [("accept", None), ("promote", None)] * 2


def elsewhere(ws: Workspace, moves: Sequence[tuple[journal.What, int | None, int]]) -> None:
    """What another registry left in the journal: version 1 of b0000, version 2 of b0001 and so on."""
    for what, was, champion in moves:
        batch, run = f"b{champion - 1:04d}", f"elsewhere-{champion}"
        journal.append(
            ws,
            journal.Move(
                at=AT, who="ann", what=what, version=champion, batch=batch, run=run, was=was, champion=champion, why="?"
            ),
        )


@pytest.mark.parametrize(
    ("moves", "taken_back"),
    [
        ([("promote", None, 1), ("promote", 1, 2)], set()),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1)], {"b0001"}),
        ([("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3), ("promote", 3, 1)], {"b0001", "b0002"}),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 3)], {"b0001"}),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 2)], set()),
    ],
    ids=["straight on", "rollback", "promotion of an older one", "and on from there", "taken again"],
)
def test_the_journal_tells_from_what_somebody_went_back(
    tmp_path: Path, moves: list[tuple[journal.What, int | None, int]], taken_back: set[str]
) -> None:
    ws = Workspace(tmp_path)
    elsewhere(ws, moves)
    assert registry._taken_back(ws, CONFIG) == taken_back


def test_a_registry_made_anew_leaves_a_rollback_as_it_was(ws: Workspace) -> None:
    elsewhere(ws, [("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1)])
    mlflow = registry.client(ws, CONFIG)
    experiment = mlflow.create_experiment("anew")
    mlflow.create_registered_model(CONFIG.model)
    for batch in ("b0000", "b0001"):
        run = mlflow.create_run(experiment).info.run_id
        number = int(mlflow.create_model_version(CONFIG.model, "file:///x", run, tags={"batch": batch}).version)
        for _ in range(2):  # as after a kill
            settled = registry.settle(ws, CONFIG, number, accepted=True, reasons=["good"], who="gate", at=AT)
    assert (settled.verdict, settled.aliases) == ("accepted", ())
    held = registry.champion(ws, CONFIG)
    assert held is not None
    assert held.batch == "b0000"


def test_a_local_database_is_asked_without_mlflow(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = registry.client(ws, CONFIG)
    mlflow.create_registered_model(CONFIG.model)
    mlflow.create_model_version(CONFIG.model, "file:///x", tags={"batch": "b0000"})
    with monkeypatch.context() as patched:
        patched.setattr(registry, "client", None)
        assert registry.knows_any(ws, CONFIG, ["b0000"])
    assert not registry.knows_any(ws, CONFIG, ["b0001"])
    mlflow.delete_model_version(CONFIG.model, "1")
    assert not registry.knows_any(ws, CONFIG, ["b0000"])


def test_a_full_disk_leaves_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = Workspace(tmp_path)
    elsewhere(ws, [("promote", None, 1)])
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, data: write(handle, data[: len(data) // 2]))
        with pytest.raises(OSError, match=r"journal\.jsonl") as full:
            elsewhere(ws, [("promote", 1, 2)])
    assert full.value.errno == errno.ENOSPC
    elsewhere(ws, [("promote", 1, 2)])
    assert [move.version for move in journal.read(ws)] == [1, 2]


def test_a_torn_line_of_the_journal_is_told_with_what_to_do(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    elsewhere(ws, [("promote", None, 1), ("promote", 1, 2)])
    ws.journal.write_bytes(ws.journal.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"(?s)journal\.jsonl:2: .* Mend it or delete it .* `selfparam run`"):
        journal.read(ws)


def test_a_server_that_does_not_answer_is_told_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    gone = CONFIG.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(ValueError, match=r"params\.yaml: register\.tracking_uri is http://127\.0\.0\.1:9, .* correct"):
        registry.versions(Workspace(tmp_path), gone)


def test_an_alias_moved_past_us_is_journalled_when_moved_back(ws: Workspace, done: Callable[..., None]) -> None:
    for batch in ("b0000", "b0001"):
        done(batch)
        register(ws, batch, "base", CONFIG, {})
    registry.promote(ws, CONFIG, 1, who="ann", why="good", at=AT)
    registry.client(ws, CONFIG).set_registered_model_alias(CONFIG.model, "champion", "2")  # as in MLflow's UI
    registry.promote(ws, CONFIG, 1, who="ann", why="no, this one", at=AT)
    assert [(m.was, m.champion) for m in journal.read(ws)] == [(None, 1), (2, 1)]


def test_a_promotion_killed_before_its_line_gets_the_line_next_time(
    ws: Workspace, done: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch in ("b0000", "b0001"):
        done(batch)
        register(ws, batch, "base", CONFIG, {})
    registry.promote(ws, CONFIG, 1, who="gate", why="good", at=AT)

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", killed)
        with pytest.raises(Killed):
            registry.promote(ws, CONFIG, 2, who="gate", why="better", at=AT)
    for _ in range(2):
        registry.promote(ws, CONFIG, 2, who="gate", why="better", at=AT)
    assert [(m.was, m.champion) for m in journal.read(ws)] == [(None, 1), (1, 2)]


def test_names_resolve_to_folders_or_say_what_there_is(ws: Workspace, done: Callable[..., None]) -> None:
    assert registry.versions(Workspace(ws.root / "fresh"), CONFIG) == []
    assert not (ws.root / "fresh").exists()
    with pytest.raises(ValueError, match="selfparam run"):
        registry.resolve(ws, CONFIG, "base")
    with pytest.raises(ValueError, match="no champion yet"):
        registry.resolve(ws, CONFIG, "champion")
    for batch in ("base", "b0000", "b0001"):
        done(batch)
    version = register(ws, "b0000", "base", CONFIG, {})
    registry.promote(ws, CONFIG, version.number, who="ann", why="first", at=AT)
    assert registry.resolve(ws, CONFIG, "base") == ws.weights("base")
    assert registry.resolve(ws, CONFIG, "b0001") == ws.weights("b0001")  # integrated, not registered yet
    kept = registry.resolve(ws, CONFIG, "1")
    assert kept == registry.resolve(ws, CONFIG, "champion") == registry.resolve(ws, CONFIG, "b0000")
    assert kept.is_relative_to(ws.mlflow_folder)
    for unknown in ("9", "b0009"):
        with pytest.raises(ValueError, match=r"registered versions: 1 \(b0000\)"):
            registry.resolve(ws, CONFIG, unknown)
    with pytest.raises(ValueError, match="no version 9"):
        registry.promote(ws, CONFIG, 9, who="ann", why="?", at=AT)


def test_weights_on_another_machine_are_fetched_once(
    ws: Workspace, done: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.artifacts

    done("b0000")
    version = register(ws, "b0000", "base", CONFIG, {})
    there = registry.folder(ws, CONFIG, version)
    fetched = []

    def download(artifact_uri: str, *, dst_path: str, tracking_uri: str) -> None:
        fetched.append(artifact_uri)
        shutil.copytree(there, Path(dst_path) / "model")
        if len(fetched) == 1:
            raise Killed

    monkeypatch.setattr(MlflowClient, "get_model_version_download_uri", lambda *_: "s3://bucket/1/artifacts")
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    assert registry.which(ws, CONFIG, "1") == version
    assert fetched == []
    with pytest.raises(Killed):
        registry.resolve(ws, CONFIG, "1")
    kept = registry.resolve(ws, CONFIG, "1")
    assert kept == registry.resolve(ws, CONFIG, "b0000")
    assert fetched == ["s3://bucket/1/artifacts/model"] * 2
    assert kept.is_relative_to(ws.root / "data" / ".work")
    assert (kept / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()
