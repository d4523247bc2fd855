"""What an intake refuses before it writes anything, and what it says of content that it holds already."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import batches, cli, dvc, git, preview, round
from flows.batches import Batches
from flows.ingest import Taken, files, ingest
from flows.init import init
from models.files import write_json
from models.records import BatchReport, HistoryEntry, write_records
from tasks import intake
from tasks.validate import ValidateConfig
from tasks.workspace import BASE, Workspace
from tests.flows.conftest import day


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in which DVC tracks nothing: what comes to that is not what these tests look at."""
    monkeypatch.setattr(dvc, "track_raw", lambda _root: None)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return init(tmp_path / "ws")[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return day(tmp_path / "one.jsonl", "Anna")


def test_a_clone_without_its_data_takes_nothing_in(ws: Workspace, file: Path) -> None:
    pointer = ws.root / "data" / "raw.dvc"
    pointer.touch()
    with pytest.raises(ValueError, match=r"raw holds no batch.*`dvc pull`"):
        ingest(ws, [file])
    with pytest.raises(ValueError, match=r"raw holds no batch.*`dvc pull`"):
        round.take_in(ws)
    assert batches.arrived(ws) == []
    pointer.unlink()  # all of them are forgotten
    assert ingest(ws, [file]) == Taken("b0000", is_new=True)


def test_a_raw_file_that_is_gone_is_not_forgotten_by_the_way(ws: Workspace, file: Path) -> None:
    batches.write(ws, Batches().begun("b0000", BASE).ended("b0000", "accepted"))
    ws.raw("b0001").write_text("{}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"b0000\.jsonl is gone.*`dvc checkout`"):
        ingest(ws, [file])
    with pytest.raises(ValueError, match=r"b0000\.jsonl is gone.*`dvc checkout`"):
        round.take_in(ws)
    assert batches.arrived(ws) == ["b0001"]
    batches.write(ws, Batches())  # forgotten as docs/ARCHITECTURE.md says
    assert ingest(ws, [file]) == Taken("b0002", is_new=True)
    round.take_in(ws)


def test_folders_are_read_to_their_ends_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    notes, elsewhere = tmp_path / "notes", tmp_path / "elsewhere"
    for path in (notes / "b.md", notes / "x.json", notes / ".draft.md", elsewhere / "c.txt"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (notes / "a").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(notes)  # in a circle
    assert files([notes]) == ([notes / "a" / "c.txt", notes / "b.md"], (notes / "x.json",))
    os.mkfifo(notes / "pipe.txt")
    assert files([notes])[1] == (notes / "pipe.txt", notes / "x.json")
    (notes / "gone.md").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"gone\.md"):
        [intake.records_of(path) for path in files([notes])[0]]


def test_outside_git_nothing_is_taken_in(ws: Workspace, file: Path) -> None:
    shutil.rmtree(ws.root / ".git")
    with pytest.raises(ValueError, match="must be a git repository: `selfparam init"):
        ingest(ws, [file])
    with pytest.raises(ValueError, match="must be a git repository: `selfparam init"):
        round.take_in(ws)
    assert batches.arrived(ws) == []


def test_a_misspelt_setting_is_told_before_anything_is_taken(ws: Workspace, file: Path) -> None:
    ws.params.write_text("validate: {max_tokns: 5}\n", encoding="utf-8")
    done = CliRunner().invoke(cli.app, ["-C", str(ws.root), "ingest", str(file)])
    assert "validate.max_tokns" in str(done.exception)
    assert batches.arrived(ws) == []


def test_no_commit_is_made_where_none_is_wanted(ws: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = ws.root / "data" / "raw.dvc"
    monkeypatch.setattr(dvc, "track_raw", lambda _root: pointer.write_text(str(batches.arrived(ws)), encoding="utf-8"))
    before = git.head(ws.root)
    for wanted in (False, True):
        ws.params.write_text(f"run: {{commit: {wanted}}}\n", encoding="utf-8")
        ingest(ws, [file if wanted else day(file.with_name("two.jsonl"), "Ben")])
        assert (git.head(ws.root) != before) == wanted


def test_after_a_rollback_the_preview_judges_as_the_round_will(ws: Workspace, file: Path) -> None:
    first, second = day(file.with_name("a.jsonl"), "Anna"), day(file.with_name("b.jsonl"), "Ben")
    known = Batches()
    entries: list[HistoryEntry] = []
    for batch, parent, path in (("b0000", BASE, first), ("b0001", "b0000", second)):
        ingest(ws, [path])
        known = known.begun(batch, parent).ended(batch, "accepted")
        one = intake.experiences(path)[0][0]
        entries.append(HistoryEntry(batch=batch, digest=one.digest, experience=one))
        ws.validated(batch).mkdir(parents=True)
        write_records(ws.validated(batch) / "history.jsonl", entries)
    batches.write(ws, known)
    again = file.with_name("again.jsonl")
    again.write_text(first.read_text(encoding="utf-8") + second.read_text(encoding="utf-8"), encoding="utf-8")
    taken = ingest(ws, [again])
    assert len(preview.preview(ws, taken.batch, ValidateConfig()).rejected) == 2
    move = {"at": "2026-11-27T10:00:00Z", "who": "t", "version": 1, "run": "r", "was": 2, "champion": 1, "why": "t"}
    ws.journal.write_text(json.dumps({**move, "what": "rollback", "batch": "b0000"}) + "\n", encoding="utf-8")
    assert [r.line for r in preview.preview(ws, taken.batch, ValidateConfig()).rejected] == [1]


def test_of_known_content_it_is_told_what_was_said_of_it(ws: Workspace, file: Path) -> None:
    ingest(ws, [file])
    batches.write(ws, Batches().begun("b0000", BASE).ended("b0000", "accepted"))
    report = BatchReport(batch="b0000", rows=1, accepted=1, flagged=0)
    write_json(ws.validated("b0000") / "report.json", report.model_dump(mode="json"))
    command = ["-C", str(ws.root), "ingest", str(file)]
    said = json.loads(CliRunner().invoke(cli.app, [*command, "--json"]).stdout)
    assert (said["batch"], said["accepted"], said["quarantined"], said["new"]) == ("b0000", 1, [], False)
    shown = CliRunner().invoke(cli.app, command).stdout
    assert "b0000 holds this content already" in shown
    assert "1 of 1 accepted" in shown
    assert "Next:" not in shown  # it is learnt
