"""The pictures of a round, as PNG and as Vega-Lite for the browser. (`dvc plots` draws the tables themselves.)

Knows tables and figures, no model and no tracker. The Vega-Lite files carry their data: they open anywhere.
Colours are from Okabe and Ito's set and from cividis, which keep their order for colour-blind eyes and in grey.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from models.files import write_json, written_aside

OPEN_BOOK, BASE = "open_book", "base"
_BLUE, _ORANGE, _GREY, _GREEN = "#0072B2", "#E69F00", "#999999", "#009E73"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_INK = "#333333"


def plot_retention(matrix: pd.DataFrame, png: Path, vega: Path, *, measure: str = "contains") -> None:
    """Draw what every version holds of every batch: a row a batch, a column a version, lower triangle by age.

    `matrix` has the columns `version`, `batch` and `measure`; the versions `open_book` (upper bound) and `base`
    (before anything was learnt) stand on the left, apart. Empty cells were never measured.
    """
    batches = list(dict.fromkeys(matrix["batch"]))
    known = list(dict.fromkeys(matrix["version"]))
    references = [name for name in (OPEN_BOOK, BASE) if name in known]
    versions = [name for name in known if name not in (OPEN_BOOK, BASE)]
    table = matrix.pivot_table(index="batch", columns="version", values=measure, aggfunc="last").reindex(
        index=batches, columns=[*references, *versions]
    )
    _draw_retention(table, len(references), png, measure)
    _write_vega(
        vega,
        matrix[["version", "batch", measure]].dropna(),
        title=f"What each version still knows: {_NAMES.get(measure, measure)}",
        height={"step": 34},
        width={"step": 64},
        encoding={
            "x": {"field": "version", "type": "ordinal", "sort": [*references, *versions], "title": "version",
                  "axis": {"labelAngle": 0, "orient": "top"}},
            "y": {"field": "batch", "type": "ordinal", "sort": batches, "title": "batch"},
        },
        layer=[
            {
                "mark": {"type": "rect", "stroke": "white", "strokeWidth": 2},
                "encoding": {
                    "color": {"field": measure, "type": "quantitative", "title": measure,
                              "scale": {"scheme": "cividis", "domain": [0, 1]}},
                },
            },
            {
                "mark": {"type": "text", "fontSize": 12},
                "encoding": {
                    "text": {"field": measure, "type": "quantitative", "format": ".2f"},
                    "color": {"condition": {"test": f"datum['{measure}'] < 0.5", "value": "white"}, "value": "black"},
                },
            },
        ],
    )  # fmt: skip


def plot_training(csv: Path, png: Path) -> None:
    """Draw a batch's integration: the loss and its parts on a log scale, below it the learning rate.

    `csv` has a row a step: `step`, `loss`, `kl_…`, `learning_rate`. Noisy steps are shown pale under their mean.
    """
    table = pd.read_csv(csv)
    lines = ["loss", *[c for c in table.columns if c.startswith("kl_")]]
    lines = [c for c in lines if c in table and table[c].notna().any()]
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for name, colour in zip(lines, [_INK, _BLUE, _ORANGE, _GREEN, "#CC79A7", "#56B4E9"], strict=False):
        points = table[["step", name]].dropna()
        points = points[points[name] > 0]  # the scale is logarithmic
        if points.empty:
            continue
        mean = points[name].rolling(max(1, len(points) // 20), min_periods=1, center=True).mean()
        above.plot(points["step"], points[name], color=colour, alpha=0.25, linewidth=1)
        above.plot(points["step"], mean, color=colour, linewidth=2, label=_NAMES.get(name, name))
    above.set_yscale("log")
    above.set_ylabel("nats per token")
    above.set_title(f"Integration of {csv.stem}", loc="left", fontweight="bold", color=_INK)
    if lines:
        above.legend(frameon=False, ncols=2)
    if "learning_rate" in table:
        below.plot(table["step"], table["learning_rate"], color=_GREY, linewidth=2)
    below.set_ylabel("learning rate")
    below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    below.set_xlabel("step")
    below.set_ylim(bottom=0)
    for axes in (above, below):
        _plain(axes)
        axes.grid(axis="y", color="#EEEEEE")
    _save(figure, png)


def plot_efficacy(metrics: Sequence[Mapping[str, Any]], png: Path, vega: Path, *, measure: str = "contains") -> None:
    """Draw, for each version's own batch: open book, closed book before and closed book after.

    `metrics` are the contents of `data/metrics/<version>.json`, oldest first; batches without probes are left out.
    """
    bars = {"open_book": "open book (upper bound)", "closed_book_before": "closed book, before",
            "closed_book": "closed book, after"}  # fmt: skip
    colours = [_GREY, _ORANGE, _BLUE]
    measured = [m for m in metrics if (m.get("efficacy") or {}).get("probes")]
    batches = [str(m["version"]) for m in measured]
    rows = [
        {"batch": str(m["version"]), "answered": label, measure: m["efficacy"][key][measure]}
        for m in measured
        for key, label in bars.items()
    ]
    figure = Figure(figsize=(max(6.5, 1.8 + 1.5 * len(batches)), 3.8), layout="constrained")
    axes = figure.subplots()
    for offset, (label, colour) in enumerate(zip(bars.values(), colours, strict=True)):
        heights = [row[measure] for row in rows if row["answered"] == label]
        drawn = axes.bar(
            [i + (offset - 1) * 0.27 for i in range(len(batches))], heights, 0.25, color=colour, label=label
        )
        axes.bar_label(drawn, fmt="%.2f", fontsize=9, color=_INK, padding=2)
    axes.set_xticks(range(len(batches)), batches)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel(_NAMES.get(measure, measure), fontsize=9)
    axes.set_title("What each batch taught", loc="left", fontweight="bold", color=_INK)
    figure.legend(frameon=False, ncols=3, loc="outside lower center", fontsize=9)
    _plain(axes)
    _save(figure, png)
    _write_vega(
        vega,
        pd.DataFrame(rows, columns=["batch", "answered", measure]),
        title="What each batch taught",
        mark="bar",
        encoding={
            "x": {"field": "batch", "type": "ordinal", "sort": batches, "axis": {"labelAngle": 0}},
            "xOffset": {"field": "answered", "sort": list(bars.values())},
            "y": {"field": measure, "type": "quantitative", "scale": {"domain": [0, 1]}},
            "color": {"field": "answered", "title": None,
                      "scale": {"domain": list(bars.values()), "range": colours}},
        },
    )  # fmt: skip


_NAMES = {
    "contains": "contains the gold answer",
    "f1": "token F1",
    "exact": "is the gold answer",
    "loss": "loss (weighted sum)",
    "kl_new": "KL, new experiences",
    "kl_unrelated": "KL, unrelated text",
    "kl_replay": "KL, earlier experiences",
    "kl_locality": "KL, near misses",
    "kl_held_out": "KL, held-out sentences",
}


def _draw_retention(table: pd.DataFrame, references: int, png: Path, measure: str) -> None:
    rows, columns = table.shape
    size = 0.62 if columns <= 12 else 0.45
    figure = Figure(figsize=(max(4.2, 1.2 + size * 1.35 * (columns + 0.4)), 1.5 + size * rows), layout="constrained")
    axes = figure.subplots()
    gap = 0.4 if references else 0.0  # the references stand apart from the line of versions
    lefts = [i + (gap if i >= references else 0.0) for i in range(columns)]
    colour = Normalize(0, 1)
    scheme = matplotlib.colormaps["cividis"]
    for i in range(rows):
        for left, value in zip(lefts, table.iloc[i], strict=True):
            if pd.isna(value):
                continue
            axes.add_patch(_cell(left, i, scheme(colour(value))))
            ink = "white" if value < 0.5 else "black"
            axes.text(
                left + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=11 * size / 0.62
            )
    axes.set_xlim(0, lefts[-1] + 1 if lefts else 1)
    axes.set_ylim(max(rows, 1), 0)
    names = {OPEN_BOOK: "open\nbook", BASE: "base"}
    axes.set_xticks([left + 0.5 for left in lefts], [names.get(c, str(c)) for c in table.columns])
    axes.set_yticks([i + 0.5 for i in range(rows)], [str(batch) for batch in table.index])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(f"{_NAMES.get(measure, measure)}, by version", color=_INK, fontsize=9, labelpad=8)
    axes.set_ylabel("questions about", color=_INK)
    axes.tick_params(length=0, colors=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.suptitle("What each version still knows", x=0.02, ha="left", fontweight="bold", color=_INK)
    _save(figure, png)


def _cell(left: float, top: float, colour: Any) -> Rectangle:
    return Rectangle((left + 0.02, top + 0.02), 0.96, 0.96, facecolor=colour, edgecolor="none")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)


def _save(figure: Figure, png: Path) -> None:
    # No pyplot: its global state is not for stages that may share a process.
    FigureCanvasAgg(figure)
    with written_aside(png) as aside:
        # The date and the version of matplotlib in the file would change its hash, and DVC's with it.
        figure.savefig(aside, format="png", dpi=144, metadata={"Software": None})


def _write_vega(path: Path, data: pd.DataFrame, **specification: Any) -> None:
    values = json.loads(data.to_json(orient="records"))
    write_json(path, {"$schema": _SCHEMA, "data": {"values": values}, **specification})
