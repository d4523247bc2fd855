"""Records: strict about what they hold, the same after a round trip, errors that name the line."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.records import Experience, QAPair, read_records, write_records

TURNS = [{"role": "user", "content": "Who runs it?"}, {"role": "assistant", "content": "Mara."}]


def test_a_conversation_is_rendered_a_turn_a_line() -> None:
    assert Experience(id="e", context=TURNS).text == "User: Who runs it?\nAssistant: Mara."
    assert Experience(id="e", context="Mara runs it.").text == "Mara runs it."


def test_copies_of_a_text_have_one_digest() -> None:
    digest = Experience(id="a", context="Mara  runs\nit.").digest
    assert Experience(id="b", context="mara runs it. ").digest == digest
    assert Experience(id="a", context="Mara ran it.").digest != digest


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "", "context": "x"},
        {"id": "e", "context": "  "},
        {"id": "e", "context": "x", "probe": []},  # misspelt
        {"id": "e", "context": "x", "probes": [{"question": "Who?", "answers": []}]},
        {"id": "e", "context": "x", "probes": [{"question": "Who?", "answers": ["a"], "kind": "odd"}]},
        {"id": "e", "context": [{"role": "user"}]},
        {"id": "e", "context": "x", "occurred_at": "yesterday"},
    ],
)
def test_what_is_not_an_experience_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Experience.model_validate_json(json.dumps(fields))


def test_round_trip_in_any_language(tmp_path: Path) -> None:
    records = [
        Experience(id="é", context="水車は午前九時に開く。", source="notes", occurred_at="2031-05-01T09:00:00+02:00"),
        Experience(
            id="t",
            context=TURNS,
            probes=[{"question": "Who?", "answers": ["Mara", "Mara Holt"], "kind": "paraphrased"}],
            qa=[{"question": "Who?", "answer": "Mara\nHolt"}],
        ),
    ]
    write_records(tmp_path / "e.jsonl", records)
    assert read_records(tmp_path / "e.jsonl", Experience) == records
    text = (tmp_path / "e.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 2
    assert "水車" in text
    assert "null" not in text


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    good = '{"experience": "e", "question": "q", "answer": "a", "kind": "given", "writer": "record"}'
    (tmp_path / "p.jsonl").write_text(f'{good}\n{good[:-1]}, "odd": 1}}\n')
    with pytest.raises(ValueError, match=r"p\.jsonl:2: not a QAPair"):
        read_records(tmp_path / "p.jsonl", QAPair)
