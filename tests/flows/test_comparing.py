"""Two versions side by side, from what evaluation stored: no model is loaded."""

from pathlib import Path

from flows import comparing
from models.records import Answer, write_records
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
