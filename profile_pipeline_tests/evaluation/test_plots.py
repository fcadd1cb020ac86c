import warnings
from pathlib import Path

import pytest

from profile_pipeline.evaluation.plots import (
    calibration_plot,
    confusion_plot,
    curve_plot,
    importance_plot,
    metric_plot,
    segments_plot,
    tree_plot,
)

TEMPLATES = Path(__file__).parents[2] / "profile_pipeline"


CURVE = [{"curve": "roc", "class": "男", "x": x, "y": x} for x in (0.0, 1.0)]
METRIC = {"algorithm": "决策树", "baseline": None, "value": 0.8, "ci_low": 0.7, "ci_high": 0.9}
TRAIT = {"segment": "夜猫子", "feature": "品牌 华为", "people_share": 0.4, "z_score": 1.2}
TREE = [
    {"feature": "品牌 华为", "threshold": 0.5, "left": 1, "right": 2, "shares": [0.5, 0.5], "n": 10},
    *({"feature": None, "threshold": None, "left": None, "right": None, "shares": shares, "n": 5} for shares in ([0.9, 0.1], [0.2, 0.8])),
]  # fmt: skip
# Each plot that shows names of data, and the names.
DRAWN = {
    "curve": (lambda: curve_plot(CURVE, curve="roc", title="性别"), ("男", "性别")),
    "calibration": (
        lambda: calibration_plot([{"class": "女", "mean_predicted": 0.4, "observed_share": 0.5}], title="性别"),
        ("女", "性别"),
    ),
    "confusion": (
        lambda: confusion_plot(
            [{"actual": "男", "predicted": "女", "n_rows": 3}], classes=["男", "女"], title="混淆矩阵"
        ),
        ("男", "女", "混淆矩阵"),
    ),
    "importance": (
        lambda: importance_plot([{"feature": "品牌 华为", "importance": 0.1}], title="重要性"),
        ("品牌 华为", "重要性"),
    ),
    "metric": (lambda: metric_plot([METRIC], title="准确率"), ("决策树", "准确率")),
    "segments": (lambda: segments_plot([TRAIT], title="人群"), ("夜猫子", "品牌 华为", "人群")),
    "tree": (lambda: tree_plot(TREE, ["男", "女"]), ("男 90%", "女 80%", "品牌 华为")),
}


@pytest.mark.parametrize("plot", DRAWN)
def test_chinese_names_stay_text_and_nothing_warns(plot: str) -> None:
    draw, names = DRAWN[plot]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw()
    assert [name for name in names if f">{name}<" not in drawn] == []


def test_the_same_rows_are_drawn_to_the_same_byte() -> None:
    rows = [{"feature": "品牌 华为", "importance": 0.1}]
    assert importance_plot(rows, title="重要性") == importance_plot(rows, title="重要性")


def test_the_pages_name_fonts_that_have_chinese_for_their_plots() -> None:
    for page in ("evaluation/templates/report.html", "applications/templates/dictionary.html"):
        text = (TEMPLATES / page).read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if line.startswith("body, svg text { font-family:"))
        for font in ("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei"):
            assert f'"{font}"' in line
