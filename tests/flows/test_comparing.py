"""Two versions side by side, from what evaluation stored: no model is loaded."""

from pathlib import Path

from flows import comparing, tables
from models.records import Answer, Reply, write_records
from tasks.workspace import Workspace


def said(question: str, score: float, kind: str = "direct") -> Answer:
    return Answer(
        batch="b0000",
        experience=f"about {question}",
        question=question,
        answers=("17 crowns",),
        kind=kind,
        answer=f"{score}",
        f1=score,
        exact=score,
        contains=score,
        log_likelihood=score,
    )


def test_facts_that_one_of_two_answers_rightly_are_told(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    assert comparing.turned_facts(ws, "base", "b0000") == []
    for version, scores in {"base": (1, 1, 0), "b0000": (1, 0, 1)}.items():
        ws.evaluation(version).mkdir(parents=True)
        facts = [
            Reply(question=question, answers=("17 crowns",), answer=f"{score}", contains=score)
            for question, score in zip(("Who?", "Where?", "When?"), scores, strict=True)
        ]
        write_records(ws.evaluation(version) / "general.jsonl", facts)
    found = comparing.turned_facts(ws, "base", "b0000")
    assert [(d.question, d.a, d.b) for d in found] == [("Where?", "1", "0"), ("When?", "0", "1")]
    assert "\n| Where? | 17 crowns | 1 | 0 |\n" in tables.facts_as_markdown(ws, "b0000")
    assert tables.facts_as_markdown(ws, "base") == ""
    linked = Reply(question="Where?", answers=("17 crowns",), answer="![x](http://there/)", contains=0)
    write_records(ws.evaluation("b0000") / "general.jsonl", [linked])
    assert "![" not in tables.facts_as_markdown(ws, "b0000")  # no browser fetches what a model says


def test_what_is_superseded_by_now_counts_in_neither_direction(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    for version, answers in {
        "b0000": [said("Who?", 0), said("Where?", 0), said("What does it cost?", 1)],  # nobody knew better then
        "b0001": [said("Who?", 1), said("Where?", 0), said("What does it cost?", 0, "superseded")],
    }.items():
        ws.evaluation(version).mkdir(parents=True)
        write_records(ws.evaluation(version) / "answers.jsonl", answers)
    assert comparing.paired(ws, "b0000", "b0001")["contains"]["gain"] == 0.5
    assert comparing.paired(ws, "b0001", "b0000")["contains"]["gain"] == -0.5
