"""What people see of answers: every word of them, whatever brackets they hold."""

import io

from rich.console import Console

from flows import answering, questions
from flows.answering import Examined

TEXTS = ("What does [/etc] hold?", "[a] and :x:", r"\[b]", "[/]", "it ends in \\")


def test_brackets_are_text() -> None:
    question, gold, *said = TEXTS
    found = answering.totals("1", [Examined("e", question, (gold,), dict(zip(answering.KINDS, said, strict=True)))])
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(questions._as_table(found))
    shown = console.export_text()
    assert not [text for text in TEXTS if text not in shown]
