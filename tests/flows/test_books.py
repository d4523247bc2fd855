"""What `status` and `compare` say where registry, weights and `dvc.lock` no longer agree."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from flows import batches, comparing, dvc, locks, status
from flows.batches import Batches
from flows.init import init
from flows.run import is_idle
from tasks import digests, journal, registry
from tasks.registry import RegisterConfig, RegisteredVersion
from tasks.workspace import BASE, Workspace


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in which b0000 was learnt and registered twice; the second version lies on the disk."""
    workspace, _ = init(tmp_path / "[a]" / "ws")
    workspace.raw("b0000").write_text("{}\n", encoding="utf-8")
    workspace.weights("b0000").mkdir(parents=True)
    (workspace.weights("b0000") / "model.safetensors").write_bytes(b"weights")
    batches.write(workspace, Batches().begun("b0000", BASE).ended("b0000", "accepted"))
    hashes = ["of what was forgotten", digests.weights_digest(workspace.weights("b0000"))]
    versions = [
        RegisteredVersion(
            number=number, batch="b0000", parent=BASE, run_id=str(number), created=datetime(2026, 1, 2, tzinfo=UTC),
            tags={"weights.sha256": digest},
        )
        for number, digest in enumerate(hashes, start=1)
    ]  # fmt: skip
    monkeypatch.setattr(registry, "versions", lambda *_: versions)
    return workspace


def test_weights_that_were_rebuilt_since_are_told(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "status", lambda _: "")
    assert status.look(ws).disagreements == []
    (ws.weights("b0000") / "model.safetensors").write_bytes(b"by other settings")
    (told,) = status.look(ws).disagreements
    assert "rebuilt since b0000 was registered as version 2" in told
    batches.write(ws, Batches().begun("b0000", BASE))  # to be registered and judged anew
    assert status.look(ws).disagreements == []


def test_an_empty_registry_is_lost_wherever_it_is(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "status", lambda _: "")
    batches.write(ws, batches.read(ws).begun("b0001", "b0000").ended("b0001", "refused"))
    ws.raw("b0001").touch()
    ws.weights("b0001").mkdir()
    assert is_idle(ws)
    monkeypatch.setattr(registry, "versions", lambda *_: [])  # of a new server, or `mlflow ui` made the database
    assert not is_idle(ws)
    (told,) = status.look(ws).disagreements
    assert "no version of any batch (`selfparam run`" in told


def test_a_version_may_be_dropped_unless_it_is_the_champion(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "status", lambda _: "")
    batches.write(ws, batches.read(ws).begun("b0001", "b0000").ended("b0001", "accepted"))
    ws.raw("b0001").touch()
    ws.weights("b0001").mkdir()
    kept = registry.versions(ws, RegisterConfig())[-1]
    moved(ws, "b0001")
    seen = status.look(ws)
    (told,) = seen.disagreements
    assert "b0001 was champion" in told
    assert "take its `state` away" in told
    assert [row.reason for row in seen.batches] == [None, "the registry knows no version of it"]
    moved(ws, kept.batch)
    assert status.look(ws).agrees
    assert is_idle(ws)


def moved(ws: Workspace, batch: str) -> None:
    """A line of the journal that makes a version of `batch` the champion."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    move = journal.Move(
        at=at, who="ann", what="promote", version=3, batch=batch, run=batch, was=None, champion=3, why="good"
    )
    journal.append(ws, move)


def test_why_the_gate_refused_is_told(ws: Workspace) -> None:
    known = Batches().begun("b0000", BASE).ended("b0000", "refused")
    version = registry.versions(ws, RegisterConfig())[-1]
    tags = {**version.tags, "gate.reasons": "drift 0.9 > 0.5 (max_drift)"}
    (row,) = status.rows(ws, known, [version.model_copy(update={"tags": tags})])
    assert (row.state, row.version, row.reason) == ("refused", 2, "drift 0.9 > 0.5 (max_drift)")


def test_a_slow_registry_keeps_nobody_from_the_books(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> list[RegisteredVersion]:
        with locks.held(ws.root, "books"):
            return []

    monkeypatch.setattr(registry, "versions", slow)
    assert not status.look(ws).is_running


def test_what_dvc_cannot_read_does_not_agree(ws: Workspace) -> None:
    graph = ws.root / "dvc.yaml"
    graph.write_text(f"<<<<<<< HEAD\n{graph.read_text(encoding='utf-8')}=======\n", encoding="utf-8")
    (ws.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
    seen = status.look(ws)
    (told,) = seen.disagreements
    assert "`dvc status` failed" in told
    assert "dvc.yaml' is invalid" in told
    console = Console(record=True, width=200, file=io.StringIO())
    seen.show(console)
    shown = console.export_text()
    assert "[a]" in shown
    assert "Disagree:" in shown


def test_without_a_champion_the_base_can_be_asked(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "status", lambda _: "")
    console = Console(record=True, width=200, file=io.StringIO())
    status.look(ws).show(console)
    assert "Champion: none yet (`selfparam ask --version base`" in console.export_text()


def test_a_version_that_was_learnt_again_is_not_compared(ws: Workspace) -> None:
    assert comparing.batch_of(ws, "2") == "b0000"
    with pytest.raises(ValueError, match=r"version 1 is no longer what .* evaluate FILE --version 1"):
        comparing.batch_of(ws, "1")


def test_where_dvc_fails_it_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not inside of a DVC repository"):
        dvc.track_raw(tmp_path)


def test_leftovers_of_killed_writes_are_not_tracked(ws: Workspace) -> None:
    for left in (".b0001.jsonl.aside-4711", ".b0001.jsonl.old-4711"):
        (ws.raw_folder / left).touch()
    dvc.track_raw(ws.root)
    assert "nfiles: 1\n" in (ws.root / "data" / "raw.dvc").read_text(encoding="utf-8")
