import warnings
from pathlib import Path

from profile_pipeline.evaluation.plots import confusion_plot, importance_plot

TEMPLATES = Path(__file__).parents[2] / "profile_pipeline"


def test_chinese_names_stay_text_and_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = importance_plot([{"feature": "品牌 华为", "importance": 0.1}], title="重要性")
        classes = confusion_plot(
            [{"actual": "男", "predicted": "女", "n_rows": 3}], classes=["男", "女"], title="混淆矩阵"
        )
    assert ">品牌 华为</text>" in drawn and ">重要性</text>" in drawn
    assert ">男</text>" in classes


def test_the_same_rows_are_drawn_to_the_same_byte() -> None:
    rows = [{"feature": "品牌 华为", "importance": 0.1}]
    assert importance_plot(rows, title="重要性") == importance_plot(rows, title="重要性")


def test_the_pages_name_fonts_that_have_chinese_for_their_plots() -> None:
    for page in ("evaluation/templates/report.html", "applications/templates/dictionary.html"):
        text = (TEMPLATES / page).read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if line.startswith("body, svg text { font-family:"))
        for font in ("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei"):
            assert f'"{font}"' in line
