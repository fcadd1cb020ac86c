import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from profile_pipeline.evaluation.evaluate import Scored, evaluate_classifier, evaluate_segments
from profile_pipeline.evaluation.metrics import classification_metrics, ranking_metrics, resamples

WEEK = dt.date(2026, 1, 5)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 200))
def test_two_classes_agree_with_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:2] = [0, 1]
    p = np.round(rng.random(n), 2)
    found = {k: v[0] for k, v in classification_metrics(y, np.column_stack([1 - p, p]), np.ones((1, n))).items()}
    guess = (p >= 0.5).astype(int)
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(y, p))
    assert found["pr_auc"] == pytest.approx(oracle.average_precision_score(y, p))
    assert found["precision"] == pytest.approx(oracle.precision_score(y, guess, zero_division=0))
    assert found["recall"] == pytest.approx(oracle.recall_score(y, guess))
    assert found["f1"] == pytest.approx(oracle.f1_score(y, guess, zero_division=0))
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(y, guess, average="macro", zero_division=0))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_of_three_classes_recall_and_f1_say_how_they_are_averaged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    y[:3] = [0, 1, 2]
    found = {k: v[0] for k, v in classification_metrics(y, p, np.ones((1, 60))).items()}
    with pytest.raises(ValueError, match="average"):
        oracle.recall_score(y, p.argmax(axis=1))
    assert not {"precision", "recall", "f1"} & found.keys()
    for average in ("macro", "weighted"):
        assert found[f"{average}_recall"] == pytest.approx(oracle.recall_score(y, p.argmax(axis=1), average=average))
        assert found[f"{average}_f1"] == pytest.approx(oracle.f1_score(y, p.argmax(axis=1), average=average))


def test_f1_comes_from_precision_and_recall_and_not_from_accuracy() -> None:
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    found = {
        k: float(v[0]) for k, v in classification_metrics(y, np.column_stack([1 - p, p]), np.ones((1, 10))).items()
    }
    assert found["accuracy"] == 0.7
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == 0.5
    assert found["f1"] == pytest.approx(4 / 7)
    assert found["f1"] != pytest.approx(2 * 0.7 * 0.5 / (0.7 + 0.5))


def test_weights_are_repeated_rows() -> None:
    y, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.4, 0.6])
    twice = np.repeat(np.arange(4), [1, 2, 0, 3])
    weighted = classification_metrics(y, np.column_stack([1 - p, p]), np.array([[1.0, 2.0, 0.0, 3.0]]))
    repeated = classification_metrics(y[twice], np.column_stack([1 - p, p])[twice], np.ones((1, 6)))
    assert {k: v[0] for k, v in weighted.items()} == pytest.approx({k: v[0] for k, v in repeated.items()})


def test_all_rows_of_a_person_are_drawn_together() -> None:
    drawn = resamples(["a", "a", "b"], 50, 1)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert ((drawn[:, 0] + drawn[:, 2]) == 2).all()


def scored(strength: float, seed: int = 0, n: int = 600) -> dict[str, Scored]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(strength * (y - 0.5) + rng.normal(size=n))))
    half = np.full((n, 2), 0.5)
    people = np.array([f"p{i}" for i in range(n)])
    return {"test": Scored(people, y, {"model": np.column_stack([1 - p, p]), "majority": half})}


def evaluated(strength: float, seed: int = 0):
    return evaluate_classifier(
        scored(strength, seed),
        model="m",
        week=WEEK,
        classes=("no", "yes"),
        chosen="model",
        baselines=("majority",),
        gate_split="test",
        n_bootstrap=200,
        seed=1,
    )


def test_the_gate_opens_for_a_planted_truth() -> None:
    assert [g["is_passed"] for g in evaluated(2.0).gates] == [True]


def test_the_gate_stays_shut_for_noise_but_for_the_chance_that_the_interval_leaves() -> None:
    # One side of a 95 % interval is missed once in forty; three of thirty would be one in twenty-five.
    assert sum(evaluated(0.0, seed).gates[0]["is_passed"] for seed in range(30)) <= 3


def test_the_baseline_that_is_named_has_a_row_with_that_value() -> None:
    rows = evaluated(2.0).metrics
    told = {(r["algorithm"], r["metric"]): r for r in rows}
    assert all(told[r["baseline"], r["metric"]]["value"] == r["baseline_value"] for r in rows if r["baseline"])
    assert all(r["ci_low"] <= r["value"] <= r["ci_high"] for r in rows if r["ci_low"] is not None)


def test_segments_that_are_no_tighter_than_shuffled_columns_do_not_pass() -> None:
    judged = evaluate_segments(
        model="s", week=WEEK, n_people=100, silhouette=0.1, shuffled_silhouette=0.2, inertia=1.0, least_share=0.3
    )
    assert not judged.gates[0]["is_passed"]


def test_ranking_metrics_of_one_hit_in_two() -> None:
    found = ranking_metrics([["a", "b", "c"]], [frozenset({"b", "z"})])
    assert found["recall@10"][0] == 0.5
    assert found["ndcg@10"][0] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
