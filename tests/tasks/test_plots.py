"""The plots are drawn from the tables that the stages write, as a valid PNG and as Vega-Lite with its data in it."""

import json
from pathlib import Path

import matplotlib.image
import pandas as pd

from tasks import plots


def matrix() -> pd.DataFrame:
    rows = [
        ("open_book", "b0000", 0.6),
        ("base", "b0000", 0.0),
        ("b0000", "b0000", 0.5),
        ("open_book", "b0001", 0.7),
        ("base", "b0001", 0.1),
        ("b0001", "b0000", 0.4),
        ("b0001", "b0001", 0.6),
    ]
    return pd.DataFrame(rows, columns=["version", "batch", "contains"]).assign(probes=4)


def drawn(png: Path) -> bool:
    pixels = matplotlib.image.imread(png)
    return pixels.shape[0] > 100 and pixels.shape[1] > 100 and pixels.std() > 0.01


def test_retention_as_png_and_vega(tmp_path: Path) -> None:
    plots.plot_retention(matrix(), tmp_path / "plots" / "retention.png", tmp_path / "plots" / "retention.json")
    assert drawn(tmp_path / "plots" / "retention.png")
    vega = json.loads((tmp_path / "plots" / "retention.json").read_text())
    assert vega["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    assert {"version": "b0001", "batch": "b0000", "contains": 0.4} in vega["data"]["values"]
    assert vega["layer"][0]["encoding"]["color"]["scale"]["domain"] == [0, 1]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        plots.plot_retention(matrix(), tmp_path / f"{name}.png", tmp_path / f"{name}.json")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_batches_without_probes_leave_empty_cells(tmp_path: Path) -> None:
    table = matrix()
    table.loc[table["batch"] == "b0001", "contains"] = None
    plots.plot_retention(table, tmp_path / "r.png", tmp_path / "r.json")
    assert all(row["contains"] is not None for row in json.loads((tmp_path / "r.json").read_text())["data"]["values"])
    plots.plot_retention(table.iloc[:0], tmp_path / "empty.png", tmp_path / "empty.json")
    assert (tmp_path / "empty.png").exists()


def test_training_leaves_out_what_was_not_measured(tmp_path: Path) -> None:
    csv = tmp_path / "b0000.csv"
    steps = range(30)
    pd.DataFrame(
        {
            "step": steps,
            "loss": [1 / (1 + s) for s in steps],
            "kl_new": [0.0 for _ in steps],  # not on a logarithmic scale
            "kl_replay": [None for _ in steps],
            "learning_rate": [1e-4 for _ in steps],
        }
    ).to_csv(csv, index=False)
    plots.plot_training(csv, tmp_path / "training.png")
    assert drawn(tmp_path / "training.png")


def test_efficacy_leaves_out_batches_without_probes(tmp_path: Path) -> None:
    scored = {
        "version": "b0000",
        "efficacy": {
            "probes": 4,
            "open_book": {"contains": 0.6},
            "closed_book_before": {"contains": 0.0},
            "closed_book": {"contains": 0.5},
        },
    }
    plots.plot_efficacy(
        [scored, {"version": "b0001", "efficacy": {"probes": 0}}], tmp_path / "e.png", tmp_path / "e.json"
    )
    assert drawn(tmp_path / "e.png")
    values = json.loads((tmp_path / "e.json").read_text())["data"]["values"]
    assert [row["contains"] for row in values] == [0.6, 0.0, 0.5]
    assert {row["batch"] for row in values} == {"b0000"}
