"""A whole round with the tiny model, through the command line: what it leaves behind, and that it is not done twice."""

import io
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from flows import demo
from tasks.workspace import Workspace
from tests.flows.conftest import Workspaces, call, day, environment, git


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, new_workspace: Workspaces) -> Path:
    """A workspace that has learnt one batch."""
    folder = tmp_path_factory.mktemp("round")
    workspace = new_workspace(folder / "ws")
    call(workspace, "ingest", str(day(folder / "one.jsonl", "Anna")))
    call(workspace, "run")
    return workspace


def test_books_agree_after_a_round(learnt: Path) -> None:
    status = json.loads(call(learnt, "status", "--json").stdout)
    assert status["champion_batch"] == "b0000"
    assert status["disagreements"] == []
    assert [b["state"] for b in status["batches"]] == ["accepted"]
    assert dvc(learnt, "status").strip() == "Data and pipelines are up to date."


def test_dvc_draws_the_lesson_and_what_is_retained(learnt: Path, tmp_path: Path) -> None:
    dvc(learnt, "plots", "show", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text(encoding="utf-8")
    assert '"scheme": "cividis"' in page  # of .dvc/plots/retention.json
    assert "Integration loss" in page


def test_everything_the_round_wrote_is_committed(learnt: Path) -> None:
    assert git(learnt, "status", "--short") == ""
    assert git(learnt, "log", "-1", "--format=%s").strip() == "b0000: accepted"


def test_prefect_keeps_the_history_of_a_round(learnt: Path) -> None:
    """No server was started: the round's own API has written it down, and a server will show it."""
    with sqlite3.connect(f"file:{learnt / '.prefect' / 'prefect.db'}?mode=ro", uri=True) as database:
        tasks = database.execute("select name, state_type from task_run").fetchall()
        ((lines,),) = database.execute(
            "select count(*) from log where message like 'integrate b0000 step %'"
        ).fetchall()
        artifacts = database.execute("select key from artifact").fetchall()
    stages = ("base", "validate", "synthesize", "integrate", "evaluate", "register", "gate")
    assert {(name.split()[0], state) for name, state in tasks} == {(stage, "COMPLETED") for stage in stages}
    assert lines > 0
    assert artifacts == [("round-b0000",)]


def test_second_run_does_nothing_quickly(learnt: Path) -> None:
    before = (learnt / "dvc.lock").read_bytes()
    started = time.monotonic()
    said = call(learnt, "run")
    assert time.monotonic() - started < 20
    assert "Nothing is pending" in said.stdout
    assert (learnt / "dvc.lock").read_bytes() == before


def test_same_content_is_taken_once(learnt: Path, tmp_path: Path) -> None:
    said = json.loads(call(learnt, "ingest", str(day(tmp_path / "copy.jsonl", "Anna")), "--json").stdout)
    assert (said["batch"], said["accepted"], said["new"]) == ("b0000", 1, False)


def test_same_question_has_the_same_answer(learnt: Path, tmp_path: Path) -> None:
    asked = [{"id": str(i), "question": f"Who is number {i}?"} for i in range(3)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(q) + "\n" for q in asked), encoding="utf-8")
    texts = []
    for out in ("a.jsonl", "b.jsonl"):
        call(learnt, "ask", "--questions", str(tmp_path / "q.jsonl"), "--out", str(tmp_path / out))
        texts.append((tmp_path / out).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert [json.loads(line)["id"] for line in texts[0].splitlines()] == ["0", "1", "2"]


def test_dvc_alone_makes_the_same_state(learnt: Path, tmp_path: Path) -> None:
    """A clone with nothing but git's files and the raw batches: no weights, no cache, no Prefect."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(learnt), str(clone))
    (clone / "data" / "raw").mkdir()
    (clone / "data" / "raw" / "b0000.jsonl").write_bytes((learnt / "data" / "raw" / "b0000.jsonl").read_bytes())
    for version in ("base", "b0000"):
        (clone / "data" / "metrics" / f"{version}.json").unlink()
    dvc(clone, "repro")
    for version in ("base", "b0000"):
        metrics = f"data/metrics/{version}.json"
        assert (clone / metrics).read_text(encoding="utf-8") == (learnt / metrics).read_text(encoding="utf-8")
        weights = f"data/weights/{version}/model.safetensors"
        assert (clone / weights).read_bytes() == (learnt / weights).read_bytes()
    assert dvc(clone, "status").strip() == "Data and pipelines are up to date."


def test_a_clone_without_its_data_keeps_its_states(learnt: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(learnt), str(clone))
    before = (clone / "batches.yaml").read_text(encoding="utf-8")
    done = call(clone, "run", check=False)
    assert done.returncode == 1
    assert "dvc pull" in done.stderr
    assert (clone / "batches.yaml").read_text(encoding="utf-8") == before


def test_bad_batches_stop_nothing(learnt: Path, tmp_path: Path) -> None:
    """Two batches are rejected whole, one is refused by the gate: the champion stays, and all are told and recorded."""
    (tmp_path / "bad.jsonl").write_text("not JSON\n" * 3, encoding="utf-8")
    call(learnt, "ingest", str(tmp_path / "bad.jsonl"))
    (tmp_path / "mute.jsonl").write_text(json.dumps({"id": "mute", "context": "Call me back!"}), encoding="utf-8")
    call(learnt, "ingest", str(tmp_path / "mute.jsonl"))
    call(learnt, "ingest", str(day(tmp_path / "two.jsonl", "Bela", "red")))
    params = learnt / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("gain: -100", "gain: 100"), encoding="utf-8")
    said = json.loads(call(learnt, "run", "--json").stdout)
    states = {"b0001": "rejected", "b0002": "rejected", "b0003": "refused"}
    assert {b["batch"]: b["state"] for b in said["learnt"]} == states
    assert "min_log_likelihood_gain" in said["learnt"][-1]["reason"]
    status = json.loads(call(learnt, "status", "--json").stdout)
    assert status["champion_batch"] == "b0000"
    assert status["disagreements"] == []
    assert {b["batch"]: b["state"] for b in status["batches"]} == {"b0000": "accepted", **states}
    assert next(b for b in status["batches"] if b["batch"] == "b0003")["parent"] == "b0000"
    mute = next(b for b in status["batches"] if b["batch"] == "b0002")
    assert "no question and answer could be written about mute" in mute["reason"]
    moves = [json.loads(line) for line in (learnt / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    assert moves[-1]["what"] == "refuse"
    assert "min_log_likelihood_gain" in moves[-1]["why"]


def test_champion_is_moved_by_hand(learnt: Path) -> None:
    moved = json.loads(call(learnt, "promote", "2", "--why", "seen by a person", "--json").stdout)
    assert moved["batch"] == "b0003"
    assert "seen by a person" in (learnt / "journal.jsonl").read_text(encoding="utf-8")
    back = json.loads(call(learnt, "rollback", "--json").stdout)
    assert back["batch"] == "b0000"


def test_two_versions_are_compared_without_a_model(learnt: Path) -> None:
    found = json.loads(call(learnt, "compare", "base", "champion", "--json").stdout)
    assert (found["a"]["version"], found["b"]["version"], found["probes"]) == ("base", "b0000", 1)


def test_demo_shows_what_was_learnt_without_a_model(learnt: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    demo.show(Workspace(learnt), learnt, console)
    said = console.export_text()
    assert "b0000" in said
    assert "General ability" in said
    assert "What colour has the boat of Anna?" in said
    assert f"selfparam -C {learnt} run" in said


def dvc(workspace: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dvc", *arguments],
        cwd=workspace,
        env={**environment(), "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout
