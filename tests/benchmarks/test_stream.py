"""The stream of the real stages on the tiny model: batches from one file, and what is kept to the end."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import scale
from benchmarks.__main__ import changed, difference, kept, run, runs, scored, split
from flows import stages
from models.records import Experience, HistoryEntry, read_records, write_records
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


def test_settings_may_begin_with_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("seed: 7\nintegrate: {epochs: 4, layers: 0.5}\nevaluate: {}\n", encoding="utf-8")
    assert changed(["integrate.epochs=2"], seed=3, params=file) == {
        "seed": 3,
        "integrate": {"epochs": 2, "layers": 0.5},
        "evaluate": {},
    }


@pytest.mark.parametrize("assignment", ["epochs=5", "integrate.epochs=", "integrate.epochs"])
def test_a_setting_without_section_or_value_is_refused(assignment: str) -> None:
    with pytest.raises(SystemExit, match=r"section\.key=value"):
        changed([assignment], seed=0)


@pytest.fixture
def measured(tmp_path: Path) -> Workspace:
    """What two batches left behind: two experiences and one, the second of which answers a question anew."""
    ws = Workspace(tmp_path)
    asked = {
        "a": [("one", "Who?", "Ann", "direct"), ("two", "Where?", "Aba", "direct")],
        "b": [
            ("three", "When?", "May", "direct"),
            ("three", "Who?", "Bo", "direct"),
            ("three", "Is it?", "No", "locality"),
        ],
    }
    history = [
        HistoryEntry(
            batch=batch,
            digest=name,
            experience=Experience(
                id=name,
                context=name,
                probes=[{"question": q, "answers": [a], "kind": k} for e, q, a, k in probes if e == name],
            ),
        )
        for batch, probes in asked.items()
        for name in dict.fromkeys(e for e, *_ in probes)
    ]
    rows = {  # contains and log-likelihood by probe: Who (old), Where, When, Who (new), Is it
        "open_book": [(1, -1), (1, -1), (1, -1), (1, -1), (0, -9)],
        "base": [(0, -5), (0, -5), (0, -5), (0, -5), (0, -9)],
        "a": [(1, -2), (1, -2), (0, -5), (0, -5), (0, -9)],
        "b": [(0, -9), (0, -3), (1, -1), (1, -2), (0, -9)],
    }
    table = [
        {
            "version": v,
            "batch": "a" if i < 2 else "b",
            "probe": i,
            "f1": c / 2,
            "exact": 0,
            "contains": c,
            "log_likelihood": x,
        }
        for v, scores in rows.items()
        for i, (c, x) in enumerate(scores)
    ]
    ws.evaluation("b").mkdir(parents=True)
    pd.DataFrame(table).to_csv(ws.evaluation("b") / "scores.csv", index=False)
    ws.validated("b").mkdir(parents=True)
    write_records(ws.validated("b") / "history.jsonl", history)
    return ws


def test_what_is_kept_is_counted_over_the_probes_that_still_hold(measured: Workspace) -> None:
    assert kept(measured, "b", seed=0).splitlines()[2:] == [
        "| containment | 1.000 | 1.000 | 0.667 | 0.67 (0.00 to 1.00) |",
        "| F1 | 0.500 | 0.500 | 0.333 | 0.67 (0.00 to 1.00) |",
        "| recovered gap | 1.000 | 0.833 | 0.750 | 0.90 (0.67 to 1.00) |",
    ]


def test_answers_are_held_against_the_open_book_s_probe_by_probe(measured: Workspace) -> None:
    own = scored(measured, "b").loc["b"]["log_likelihood"]
    assert difference(own["b"] - own["open_book"], seed=0) == "-0.500"  # one experience: no interval
    measured_a = measured.evaluation("a")
    measured_a.mkdir()
    pd.read_csv(measured.evaluation("b") / "scores.csv").query("probe < 2").to_csv(measured_a / "scores.csv")
    measured.validated("a").mkdir()
    entries = read_records(measured.validated("b") / "history.jsonl", HistoryEntry)
    write_records(measured.validated("a") / "history.jsonl", [entry for entry in entries if entry.batch == "a"])
    own = scored(measured, "a").loc["a"]["log_likelihood"]
    assert difference(own["a"] - own["open_book"], seed=0) == "-1.000 (-1.000 to -1.000)"


@pytest.fixture
def params(tiny_model: Path) -> dict[str, Any]:
    """A stream that takes seconds."""
    return {
        "seed": 0,
        "base": {"model": str(tiny_model), "unrelated_samples": 0, "unrelated_tokens": 4},
        "integrate": {"epochs": 1, "least_steps": 0},
        "evaluate": {"max_new_tokens": 2, "general_tokens": 1},
    }


def test_a_stream_runs_and_prints_its_tables(
    params: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Workspace(tmp_path), [("one", MILLS[:2]), ("two", MILLS[2:])], params)
    said = capsys.readouterr().out
    assert said.count("| one | 2 |") == said.count("| two | 1 |") == 3
    assert "over all 3 probes" in said
    (row,) = [line for line in said.splitlines() if line.startswith("| one | 2 | contains |")]
    assert re.search(r" \| [+-]\d\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\) \| ", row)  # two experiences
    assert "| recovered gap |" in said
    assert "| b0001 |" in said


def test_a_killed_stream_goes_on_where_it_was(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    performed: list[tuple[str, str]] = []
    real = stages.perform
    is_killed = True

    def perform(ws: Workspace, stage: stages.Stage, batch: str, parent: str) -> None:
        if is_killed and (stage, batch) == ("evaluate", "b0001"):
            raise KeyboardInterrupt
        performed.append((stage, batch))
        real(ws, stage, batch, parent)

    monkeypatch.setattr(stages, "perform", perform)
    given = [("one", MILLS[:2]), ("two", MILLS[2:])]
    with pytest.raises(KeyboardInterrupt):
        run(Workspace(tmp_path), given, params)
    assert len(performed) == 8  # with the base
    is_killed, before = False, capsys.readouterr().out
    performed.clear()
    run(Workspace(tmp_path), given, params)
    assert performed == [("evaluate", "b0001")]
    said = capsys.readouterr().out
    assert "| two | 1 |" in said
    assert "| two | 1 |" not in before
    performed.clear()
    run(Workspace(tmp_path), [("one", MILLS[:2]), ("two", MILLS[1:])], params)
    assert performed == [(stage, "b0001") for stage in stages.OF_A_BATCH]
    performed.clear()
    run(Workspace(tmp_path), given[:1], params | {"seed": 1})
    assert performed == [(stage, "b0000") for stage in stages.OF_A_BATCH]


def test_a_base_that_was_made_with_other_settings_is_not_taken(params: dict[str, Any], tmp_path: Path) -> None:
    run(Workspace(tmp_path), [("one", MILLS[:1])], params)
    other = params | {"evaluate": {"max_new_tokens": 3, "general_tokens": 1}}
    with pytest.raises(ValueError, match=r"base\.json.*another folder"):
        run(Workspace(tmp_path), [("one", MILLS[:1])], other)


def test_several_seeds_share_a_base_and_end_with_their_means(
    params: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [("one", MILLS[:2]), ("two", MILLS[2:])]
    runs(tmp_path, given, [params | {"seed": seed} for seed in (3, 4)])
    first, second = (Workspace(tmp_path / f"seed-{seed}") for seed in (3, 4))
    bases = [(ws.weights("base") / "model.safetensors").read_bytes() for ws in (first, second)]
    assert bases[0] == bases[1]
    learnt = [(ws.weights("b0001") / "model.safetensors").read_bytes() for ws in (first, second)]
    assert learnt[0] != learnt[1]
    said = capsys.readouterr().out
    assert said.count("| one | 2 | contains |") == 2
    table = [line.strip("|").split(" | ") for line in said[said.index("| mean of 2 seeds") :].splitlines()]
    assert [row[0].strip() for row in table[2:]] == ["one", "two", "all"]
    kl = [json.loads(ws.metrics("b0001").read_text())["general"]["kl_from_base"] for ws in (first, second)]
    wanted = f"{sum(kl) / 2:.3f} ({min(kl):.3f} to {max(kl):.3f})"
    assert {row[table[0].index("KL from base")] for row in table[3:]} == {wanted}  # of the last version, twice


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
    assert [row[1] for row in rows] == ["1", "3", "1", "1", "2", "2"]
    assert "7 probes answered" in said
