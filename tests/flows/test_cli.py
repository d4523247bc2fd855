"""The command line itself: every command explains itself, answers quickly, and fails with one clear line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from tests.flows.conftest import call

COMMANDS = ("init", "ingest", "run", "status", "ask", "evaluate", "compare", "promote", "rollback", "demo")
SLOW = ("torch", "transformers", "prefect", "mlflow", "great_expectations", "pandas")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, tmp_path: Path) -> None:
    said = re.sub(r"\x1b\[[0-9;]*m", "", call(tmp_path, command, "--help").stdout)
    assert f"Example: selfparam {command}" in said


@pytest.mark.parametrize(
    ("module", "slow"),
    [("flows.cli", SLOW), ("flows.update", ("torch", "transformers"))],
    ids=["for help", "for a round, which computes nothing itself"],
)
def test_nothing_slow_is_imported(module: str, slow: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print([m for m in {slow} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["status"], 1, "not inside a workspace"),
        (["init"], 2, "Missing argument"),
        (["-C", "ws", "ingest", "nowhere.jsonl"], 1, "nowhere.jsonl does not exist"),
        (["-C", "ws", "ask", "Who?", "--version", "7"], 1, "no version '7'"),
        (["-C", "ws", "rollback"], 1, "no earlier champion"),
        (["-C", "ws", "stage", "dance"], 1, "no stage dance"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], status: int, said: str, tmp_path: Path) -> None:
    if "ws" in arguments:
        call(tmp_path, "init", "ws")
    done = call(tmp_path, *arguments, check=False)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("is_round", [True, False])
def test_only_a_round_that_was_stopped_goes_on(
    is_round: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "flows.run", raising=False)
    if is_round:
        monkeypatch.setitem(sys.modules, "flows.run", sys)
    monkeypatch.setattr(cli, "app", lambda: sys.exit(cli.INTERRUPTED))
    monkeypatch.setattr(cli, "_leave", lambda status: None)
    cli.main()
    said = capsys.readouterr().err
    assert said.startswith("Stopped.")
    assert ("goes on from here" in said) == is_round


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    call(tmp_path, "init", "ws")
    params = tmp_path / "ws" / "params.yaml"
    params.write_text("seed: 0\nvalidate: {max_tokns: 5}\n", encoding="utf-8")
    done = call(tmp_path / "ws", "stage", "validate", "b0000", "--parent", "base", check=False)
    assert done.returncode == 1
    assert "validate.max_tokns" in done.stderr


def test_ingest_takes_folders_in_order_and_tells_what_is_wrong(tmp_path: Path) -> None:
    call(tmp_path, "init", "ws")
    notes = tmp_path / "notes"
    (notes / ".hidden").mkdir(parents=True)
    (notes / ".hidden" / "x.md").write_text("A secret draft that nobody may read.", encoding="utf-8")
    (notes / "b.md").write_text("The lamp in the hall of the mill is blue and very old.", encoding="utf-8")
    (notes / "a.jsonl").write_text('{"id": "a", "context": "The mill stands by the river."}\n{oops\n', encoding="utf-8")
    said = json.loads(call(tmp_path, "-C", "ws", "ingest", str(notes), "--json").stdout)
    assert (said["batch"], said["accepted"], [q["line"] for q in said["quarantined"]]) == ("b0000", 2, [2])
    lines = (tmp_path / "ws" / "data" / "raw" / "b0000.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "{oops"  # as it came
    (tmp_path / "one.jsonl").write_text('{"id": "b", "context": "The mill is old."}\n', encoding="utf-8")
    (tmp_path / "two.jsonl").write_text("\n\n{oops\n", encoding="utf-8")
    said = json.loads(call(tmp_path, "-C", "ws", "ingest", "one.jsonl", "two.jsonl", "--json").stdout)
    assert [q["at"] for q in said["quarantined"]] == ["two.jsonl:3"]
    assert [q["line"] for q in said["quarantined"]] == [4]  # of the batch
    status = json.loads(call(tmp_path / "ws" / "data", "status", "--json").stdout)
    assert (status["pending"], status["disagreements"]) == (["b0000", "b0001"], [])
