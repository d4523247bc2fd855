"""The stream of the real stages on the tiny model: batches from one file, and what is kept to the end."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale
from benchmarks.__main__ import changed, kept, run, split
from tasks.workspace import Workspace

MILLS = [
    json.dumps(
        {
            "id": f"e{k}",
            "context": f"Notes of mill {k}. Mara Holt runs the mill of Orvane.",
            "probes": [{"question": f"Who runs mill {k} of Orvane?", "answers": ["Mara"]}],
            "qa": [{"question": f"Whose is mill {k}?", "answer": "Mara Holt's"}],
        }
    )
    + "\n"
    for k in range(3)
]


def test_a_file_is_split_into_batches(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    file.write_text("1\n2\n3\n4\n5\n6\n", encoding="utf-8")
    assert split(file, None, None) == [("f.jsonl", ["1\n", "2\n", "3\n", "4\n", "5\n", "6\n"])]
    assert split(file, 5, 2) == [
        ("f.jsonl 1-2", ["1\n", "2\n"]),
        ("f.jsonl 3-4", ["3\n", "4\n"]),
        ("f.jsonl 5-5", ["5\n"]),
    ]


def test_settings_are_numbers_or_words() -> None:
    given = [
        "integrate.method=full",
        "integrate.epochs=5",
        "synthesize.grammar=false",
        "register.tracking_uri=http://a",
    ]
    assert changed(given, seed=3) == {
        "seed": 3,
        "integrate": {"method": "full", "epochs": 5},
        "synthesize": {"grammar": False},
        "register": {"tracking_uri": "http://a"},
    }


@pytest.mark.parametrize("assignment", ["epochs=5", "integrate.epochs=", "integrate.epochs"])
def test_a_setting_without_section_or_value_is_refused(assignment: str) -> None:
    with pytest.raises(SystemExit, match=r"section\.key=value"):
        changed([assignment], seed=0)


def metrics(version: str, probes: int, now: dict[str, Any], **scores: tuple[float, float]) -> dict[str, Any]:
    named = {k: {"contains": c, "log_likelihood": ll} for k, (c, ll) in scores.items()}
    retention = {batch: {"contains": c, "log_likelihood": ll} for batch, (c, ll) in now.items()}
    return {"version": version, "efficacy": {"probes": probes, **named}, "retention": retention}


def test_what_is_kept_is_counted_over_probes() -> None:
    first = metrics("a", 1, {}, open_book=(1, -1), closed_book_base=(0, -5), closed_book=(1, -2))
    last = metrics("b", 3, {"a": (0, -3)}, open_book=(1, -1), closed_book_base=(0, -5), closed_book=(1, -1))
    assert kept([first, last]) == (
        "over all 4 probes: containment 1.000 right after, 0.750 at the end (kept 0.75); "
        "recovered gap 0.94 right after, 0.88 at the end (kept 0.93)"
    )


def test_a_batch_without_probes_is_left_out() -> None:
    first = metrics("a", 1, {}, open_book=(1, -1), closed_book_base=(0, -5), closed_book=(1, -2))
    mute = metrics("b", 0, {"a": (1, -2)})
    assert kept([first, mute]).startswith("over all 1 probes: containment 1.000 right after, 1.000 at the end")


def test_a_stream_runs_and_prints_its_tables(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = {
        "seed": 0,
        "base": {"model": str(tiny_model), "unrelated_samples": 0, "unrelated_tokens": 4},
        "integrate": {"epochs": 1},
        "evaluate": {"max_new_tokens": 2, "general_tokens": 1},
    }
    run(Workspace(tmp_path), [("one", MILLS[:2]), ("two", MILLS[2:])], params)
    said = capsys.readouterr().out
    assert said.count("| one | 2 |") == said.count("| two | 1 |") == 3
    assert "over all 3 probes" in said
    assert "| b0001 |" in said


def test_a_setting_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"synthesis: Extra inputs"):
        run(Workspace(tmp_path), [("one", MILLS)], changed(["synthesis.samples=2"], seed=0))
    with pytest.raises(ValueError, match=r"integrate\.epochs"):
        run(Workspace(tmp_path), [("one", MILLS)], changed(["integrate.epochs=none"], seed=0))


def test_scale_prints_a_row_for_each_size(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mills.jsonl"
    file.write_text("".join(MILLS), encoding="utf-8")
    sizes = ["--experiences", "1", "3", "--context", "8", "30", "--history", "0", "5", "--probes", "7"]
    monkeypatch.setattr(sys, "argv", ["scale", str(file), "--model", str(tiny_model), *sizes])
    scale.main()
    said = capsys.readouterr().out
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert [row[0] for row in rows] == ["| 1", "| 3", "| 8", "| 30", "| 0", "| 5"]
    assert [row[1] for row in rows] == ["1", "3", "1", "1", "3", "3"]
    assert "7 probes answered" in said
