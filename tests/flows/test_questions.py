"""What people see of answers: every word of them, whatever brackets they hold; and of a wrong use of `ask`."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows import answering, cli, questions
from flows.answering import Examined
from models.model import load
from tasks import intake
from tasks.workspace import Workspace

TEXTS = ("What does [/etc] hold?", "[a] and :x:", r"\[b]", "[/]", "it ends in \\")


def test_brackets_are_text() -> None:
    question, gold, *said = TEXTS
    found = answering.totals("1", [Examined("e", question, (gold,), dict(zip(answering.KINDS, said, strict=True)))])
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(questions._as_table(found))
    shown = console.export_text()
    assert not [text for text in TEXTS if text not in shown]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["Who?", "--out", "answers.jsonl"], "Give one QUESTION"), (["--out", "."], "is a directory")],
)
def test_a_wrong_use_is_told(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cli.app, ["ask", *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_a_file_of_answers_is_told_to_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    asked.write_text('{"id": 1, "question": "Who?"}\n', encoding="utf-8")
    monkeypatch.setattr(questions, "workspace", Workspace)
    monkeypatch.setattr(questions, "_must_exist", lambda *_: None)
    monkeypatch.setattr(answering, "version", lambda *_: None)
    monkeypatch.setattr(answering, "ask", lambda *_: ["Anna"])
    questions.ask(tmp_path, version="2", questions=asked, out=out, as_json=True)  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out) == {"version": "2", "answers": 1, "out": str(out)}
    assert json.loads(out.read_text(encoding="utf-8")) == {"id": 1, "question": "Who?", "answer": "Anna"}
    asked.write_text('{"id": 1, "question": null}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"q\.jsonl:1: .*no text"):
        answering.read_questions(asked)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_other_editors_are_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"id": "é", "question": "Où?"}\r\n', encoding=encoding)
    assert answering.read_questions(file) == [{"id": "é", "question": "Où?"}]
    assert intake.text_of(file).startswith("{")


def test_what_is_no_text_is_told_before_anything_is_answered(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    for line in (rb'{"id": 1, "question": "\ud83d?"}', rb'{"id": "\ud83d", "question": "Who?"}', b'{"id": "\xe9"}'):
        file.write_bytes(b'{"id": 0, "question": "Who?"}\n' + line)
        with pytest.raises(ValueError, match=r"q\.jsonl:2: "):
            answering.read_questions(file)
    with pytest.raises(ValueError, match=r"q\.jsonl: not UTF-8"):
        intake.text_of(file)


def test_what_the_window_does_not_hold_is_refused(tiny_model: Path) -> None:
    lm = load(tiny_model)
    assert lm.window == 4096
    with pytest.raises(ValueError, match=r"'Who\?'.*window holds 4096"):
        answering._answered(lm, ["Who?"], ["The mill is old. " * 300], 8, 1)
    assert answering._answered(lm, ["Who?"], [None], 2, 1)
