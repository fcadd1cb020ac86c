"""Pictures of the report: SVG with real text, the same bytes for the same values.

Not here: what is drawn (rows of the tables), or the page.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by everybody.
INK, GREY, BLUE, ORANGE, GREEN = "#333333", "#9a9a9a", "#0072b2", "#d55e00", "#009e73"
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "profile_pipeline", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "text.color": INK, "font.family": "sans-serif",
}  # fmt: skip


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # Text stays text and the reader's own fonts draw it: here a Chinese name is only measured, and a little too narrow.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font\(s\)", UserWarning)
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        return plt.subplots(figsize=(width, height))


def curve_plot(curves: Sequence[Mapping[str, Any]], *, curve: str, title: str) -> str:
    """ROC or precision-recall curves, one line a class."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.6, 3.2)
        classes = sorted({row["class"] for row in curves if row["curve"] == curve})
        for color, label in zip((BLUE, ORANGE, GREEN, INK, GREY), classes, strict=False):
            points = [(row["x"], row["y"]) for row in curves if row["curve"] == curve and row["class"] == label]
            axes.plot(*zip(*points, strict=True), color=color, label=label)
        if curve == "roc":
            axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), title=title)
        axes.set_xlabel("false positive rate" if curve == "roc" else "recall")
        axes.set_ylabel("true positive rate" if curve == "roc" else "precision")
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def calibration_plot(rows: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Observed share by predicted probability; on the line, a probability means what it says."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.6, 3.2)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for color, label in zip((BLUE, ORANGE, GREEN, INK, GREY), sorted({row["class"] for row in rows}), strict=False):
            mine = [row for row in rows if row["class"] == label]
            axes.plot(
                [r["mean_predicted"] for r in mine],
                [r["observed_share"] for r in mine],
                color=color,
                marker="o",
                markersize=4,
                label=label,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="predicted", ylabel="observed", title=title)
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def confusion_plot(rows: Sequence[Mapping[str, Any]], *, classes: Sequence[str], title: str) -> str:
    """Counts of true by predicted class."""
    matrix = np.zeros((len(classes), len(classes)))
    place = {name: i for i, name in enumerate(classes)}
    for row in rows:
        matrix[place[row["actual"]], place[row["predicted"]]] = row["n_rows"]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.4, 3.2)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i in range(len(classes)):
            for j in range(len(classes)):
                axes.text(
                    j,
                    i,
                    f"{int(matrix[i, j]):,}\n{shares[i, j]:.0%}",
                    ha="center",
                    va="center",
                    color="white" if shares[i, j] > 0.55 else INK,
                    fontsize=9,
                )
        axes.set_xticks(range(len(classes)), classes, rotation=20, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted", ylabel="true", title=title)
        return _svg(figure)


def importance_plot(rows: Sequence[Mapping[str, Any]], *, title: str, n_shown: int = 12) -> str:
    """The features whose shuffling among held-out people costs most."""
    shown = list(rows)[:n_shown][::-1]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(4.6, 0.5 + 0.28 * len(shown))
        axes.barh([r["feature"] for r in shown], [r["importance"] for r in shown], color=BLUE, height=0.65)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set(title=title, xlabel="loss of the score when shuffled")
        return _svg(figure)


def metric_plot(rows: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """An algorithm a line: value, its interval where there is one, baselines in grey."""
    shown = sorted(rows, key=lambda r: (r["value"], r["algorithm"]))
    with mpl.rc_context(STYLE):
        figure, axes = _axes(4.6, 0.6 + 0.3 * len(shown))
        for y, row in enumerate(shown):
            color = GREY if row["baseline"] is None else BLUE
            if row["ci_low"] is not None:
                axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=color, linewidth=2.5, alpha=0.45)
            axes.plot([row["value"]], [y], marker="o", color=color)
            axes.annotate(
                f"{row['value']:.3f}",
                (row["value"], y),
                textcoords="offset points",
                xytext=(0, 6),
                ha="center",
                fontsize=8,
            )
        axes.set_yticks(range(len(shown)), [r["algorithm"] for r in shown])
        axes.set_ylim(-0.6, len(shown) - 0.2)
        axes.set(title=title)
        return _svg(figure)


def segments_plot(traits: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """How far each segment's means lie from everybody's, in standard deviations, for the features that distinguish some."""
    segments = sorted({t["segment"] for t in traits})
    features = sorted({t["feature"] for t in traits})
    matrix = np.full((len(features), len(segments)), np.nan)
    shares = {t["segment"]: t["people_share"] for t in traits}
    for t in traits:
        matrix[features.index(t["feature"]), segments.index(t["segment"])] = t["z_score"]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(2.2 + 0.9 * len(segments), 0.9 + 0.33 * len(features))
        axes.imshow(matrix, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
        for i in range(len(features)):
            for j in range(len(segments)):
                if not np.isnan(matrix[i, j]):
                    axes.text(
                        j,
                        i,
                        f"{matrix[i, j]:+.1f}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if abs(matrix[i, j]) > 1.3 else INK,
                    )
        axes.set_xticks(range(len(segments)), [f"{s}\n{shares[s]:.0%}" for s in segments])
        axes.set_yticks(range(len(features)), features)
        axes.set_title(title)
        return _svg(figure)


def choice_plot(silhouettes: Mapping[str, float], inertias: Mapping[str, float], *, chosen: str) -> str:
    """Silhouette and inertia by the number of segments."""
    ks = sorted(silhouettes, key=int)
    with mpl.rc_context(STYLE):
        figure, axes = _axes(4.2, 2.6)
        axes.plot([int(k) for k in ks], [silhouettes[k] for k in ks], color=BLUE, marker="o", label="silhouette")
        axes.plot([int(chosen)], [silhouettes[chosen]], marker="o", markersize=11, fillstyle="none", color=ORANGE)
        axes.set(xlabel="number of segments", ylabel="silhouette", title="Why so many segments")
        other = axes.twinx()
        other.plot([int(k) for k in ks], [inertias[k] for k in ks], color=GREY, linestyle="--", label="inertia")
        other.set_ylabel("inertia", color=GREY)
        return _svg(figure)


def tree_plot(nodes: Sequence[Mapping[str, Any]], classes: Sequence[str], *, most_depth: int = 3) -> str:
    """A decision tree for people: thresholds in the features' own units, people and the leading class in each box."""
    places: dict[int, tuple[float, int]] = {}
    leaves = 0

    def walk(node: int, depth: int) -> float:
        nonlocal leaves
        row = nodes[node]
        if row["feature"] is None or depth == most_depth:
            x = float(leaves)
            leaves += 1
        else:
            x = (walk(row["left"], depth + 1) + walk(row["right"], depth + 1)) / 2
        places[node] = (x, depth)
        return x

    walk(0, 0)
    deepest = max(depth for _, depth in places.values())
    with mpl.rc_context(STYLE):
        figure, axes = _axes(1.7 * max(2, leaves), 1.25 * (deepest + 1))
        for node, (x, depth) in places.items():
            row = nodes[node]
            is_split = row["feature"] is not None and depth < most_depth
            lead = int(np.argmax(row["shares"]))
            words = f"{classes[lead]} {row['shares'][lead]:.0%}\n{row['n']:,} rows"
            if is_split:
                words = f"{row['feature']}\n≤ {row['threshold']:.4g}?\n{words}"
                for child, answer in ((row["left"], "yes"), (row["right"], "no")):
                    cx, cd = places[child]
                    axes.plot([x, cx], [-depth, -cd], color=GREY, linewidth=1, zorder=1)
                    axes.text(
                        (x + cx) / 2,
                        -(depth + cd) / 2,
                        answer,
                        fontsize=7,
                        color=GREY,
                        ha="center",
                        backgroundcolor="white",
                    )
            axes.text(
                x, -depth, words, ha="center", va="center", fontsize=7.5, zorder=2,
                bbox={"boxstyle": "round,pad=0.35", "facecolor": "#eef4f9" if is_split else "#f6f1e7", "edgecolor": GREY, "linewidth": 0.6},
            )  # fmt: skip
        axes.set_xlim(-0.7, leaves - 0.3)
        axes.set_ylim(-deepest - 0.5, 0.5)
        axes.axis("off")
        return _svg(figure)
