"""What `status` and `compare` say where registry, weights and `dvc.lock` no longer agree."""

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from flows import batches, comparing, dvc, lifeline, locks, params, round, status
from flows.batches import Batches
from flows.init import init
from flows.params import Params
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


def test_nothing_is_learnt_on_top_of_what_lies_in_the_champion_s_place(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc, "status", lambda _: "")
    old, new = registry.versions(ws, RegisterConfig())

    def champion_is(version: RegisteredVersion) -> None:
        crowned = [v.model_copy(update={"aliases": ("champion",) if v is version else ()}) for v in (old, new)]
        monkeypatch.setattr(registry, "versions", lambda *_: crowned)

    champion_is(new)
    assert round.champions_batch(ws, Params()) == "b0000"
    assert status.look(ws).disagreements == []
    champion_is(old)  # the gate has refused what was made since, or somebody went back
    (told,) = status.look(ws).disagreements
    assert "champion is version 1, and data/weights/b0000 holds other weights" in told
    with pytest.raises(ValueError, match="git checkout dvc"):
        round.champions_batch(ws, Params())


def test_settings_that_were_changed_during_a_round_are_not_passed_over(ws: Workspace) -> None:
    began = params.read(ws)
    round.check_settings(ws, began)
    ws.params.write_text(ws.params.read_text(encoding="utf-8").replace("seed: 0", "seed: 1"), encoding="utf-8")
    with pytest.raises(ValueError, match="changed while the round ran"):
        round.check_settings(ws, began)


def test_half_a_lock_gives_way_to_the_one_before(ws: Workspace) -> None:
    lock = ws.root / "dvc.lock"
    outs = "".join(f"    - path: data/{k}\n      md5: {k:032}\n" for k in range(3))
    whole = f"schema: '2.0'\nstages:\n  base:\n    cmd: selfparam stage base\n    outs:\n{outs}"
    lock.write_text(whole, encoding="utf-8")
    dvc._keep_lock(ws.root)
    for end in range(len(whole) - 1):
        if whole[end] != "\n":  # where a buffer's end is a line's, DVC makes again what is missing
            lock.write_text(whole[: end + 1], encoding="utf-8")
            assert dvc.mend_lock(ws.root)
            assert lock.read_text(encoding="utf-8") == whole
    for other in (whole + "    - path: more\n      md5: 1\n", f"<<<<<<< HEAD\n{whole}======="):
        lock.write_text(other, encoding="utf-8")
        assert not dvc.mend_lock(ws.root)
        assert lock.read_text(encoding="utf-8") == other


def test_what_dvc_could_not_keep_is_no_success(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: failed to transfer '0123' - [Errno 28] No space left on device"
    monkeypatch.setattr(lifeline, "command", lambda *_: [sys.executable, "-c", f"print({said!r}); print('Updating')"])
    with pytest.raises(dvc.StageFailed, match=r"No space left.*dvc commit --force integrate@b0000"):
        dvc.run_stage(ws.root, "integrate@b0000", lambda _: None)


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
    for is_made in (False, True):
        if is_made:
            ws.weights(BASE).mkdir()
        console = Console(record=True, width=200, file=io.StringIO())
        status.look(ws).show(console)
        shown = console.export_text()
        assert "Champion: none yet" in shown
        assert ("(`selfparam ask --version base`" in shown) == is_made


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
