import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from profile_pipeline.models.algorithms import PARAMETERS, LightgbmScorer, fit
from profile_pipeline.models.artifact import ArtifactError, from_bytes, to_bytes
from profile_pipeline.models.contest import NotTrained, Trained, train_classifier
from profile_pipeline.models.frame import Features, Frame, ItemMatrix, held_out, item_matrix
from profile_pipeline.models.inputs import ITEM_ALGORITHM
from profile_pipeline.models.labels import WEEK, cohorts_of
from profile_pipeline.models.predict import predict
from profile_pipeline.models.selection import select_features
from profile_pipeline.settings import Algorithm, TrainingSettings

MONDAY = dt.date(2026, 1, 5)


def planted(n: int = 1200, n_noise: int = 20, seed: int = 0) -> tuple[Frame, list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, 3))
    truth = 1 / (1 + np.exp(-(1.5 * signal[:, 0] - 1.2 * signal[:, 1])))
    labels = ["yes" if u < p else "no" for u, p in zip(rng.random(n), truth, strict=True)]
    names = ("a", "b", "c", *(f"noise_{i}" for i in range(n_noise)))
    ids = np.array([f"p{i:05d}" for i in range(n)])
    frame = Frame(
        ids, np.full(n, np.datetime64("2026-01-11")), names, np.hstack([signal, rng.normal(size=(n, n_noise))])
    )
    return frame, labels, truth


def trained(*, hold_contest: bool = True, min_labels: int = 60, n: int = 1200) -> Trained | NotTrained:
    frame, labels, _ = planted(n)
    return train_classifier(
        frame, labels, model="m", week=MONDAY, classes=("no", "yes"), training=TrainingSettings(), train_dates=(MONDAY, MONDAY), hold_contest=hold_contest, seed=1,
        min_labels=min_labels,
    )  # fmt: skip


@pytest.fixture(scope="module")
def contest() -> Trained:
    result = trained()
    assert isinstance(result, Trained)
    return result


def test_a_planted_truth_is_recovered_near_its_ceiling(contest: Trained) -> None:
    frame, labels, truth = planted()
    is_test = held_out(frame.profile_ids, 0.2)
    ceiling = roc_auc_score(
        [label == "yes" for label, keep in zip(labels, is_test, strict=True) if keep], truth[is_test]
    )
    scores = contest.splits["test"]
    assert roc_auc_score(scores.labels, scores.probabilities[contest.chosen][:, 1]) > ceiling - 0.03


def test_of_twenty_noise_columns_none_is_kept(contest: Trained) -> None:
    kept = {s.feature for s in contest.selected if s.is_kept}
    assert {"a", "b"} <= kept
    assert not {name for name in kept if name.startswith("noise")}


def test_importance_on_training_rows_keeps_noise_that_selection_drops(contest: Trained) -> None:
    frame, labels, _ = planted()
    y = np.array([label == "yes" for label in labels], dtype=int)
    scorer = fit("lightgbm", Features(frame.values), y, n_classes=2, seed=1)
    assert isinstance(scorer, LightgbmScorer)
    gain = dict(zip(frame.names, scorer.booster.feature_importance("gain"), strict=True))
    assert sum(gain[name] > 0 for name in gain if name.startswith("noise")) >= 15
    assert not [told for told in contest.selected if told.is_kept and told.feature.startswith("noise")]


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_never_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, labels = rng.normal(size=(800, 60)), rng.integers(0, 3, 800)
    selected = select_features(
        [f"n{i}" for i in range(60)],
        values,
        labels,
        n_classes=3,
        max_features=60,
        people=np.arange(800),
        groups=np.arange(800) % 2,
        seed=seed,
    )
    assert [s.feature for s in selected if s.is_kept] == []


@pytest.mark.parametrize("seed", range(5))
def test_a_person_in_five_cohorts_does_not_make_noise_significant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(200), 5)
    values, labels = rng.normal(size=(200, 60))[people], rng.integers(0, 2, 200)[people]
    selected = select_features(
        [f"n{i}" for i in range(60)],
        values,
        labels,
        n_classes=2,
        max_features=60,
        people=people,
        groups=people % 2,
        seed=seed,
    )
    assert [s.feature for s in selected if s.is_kept] == []


def test_a_feature_that_tells_in_the_middle_only_is_kept() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(600, 1))
    labels = (np.abs(values[:, 0]) + 0.3 * rng.normal(size=600) < 0.7).astype(int)
    (told,) = select_features(
        ["u"], values, labels, n_classes=2, max_features=5, people=np.arange(600), groups=np.arange(600) % 2, seed=1
    )
    assert told.is_kept


def test_all_algorithms_compete_and_one_is_chosen(contest: Trained) -> None:
    assert {row["algorithm"] for row in contest.rows} == set(PARAMETERS) - {ITEM_ALGORITHM}
    assert [row["algorithm"] for row in contest.rows if row["is_chosen"]] == [contest.chosen]
    assert [row["artifact"] is not None for row in contest.rows if row["is_chosen"]] == [True]


def test_the_linear_svm_shows_its_w_and_b(contest: Trained) -> None:
    told = json.loads(next(row for row in contest.rows if row["algorithm"] == "linear_svm")["explanation"])
    assert abs(told["w"]["a"][0]) > abs(told["w"].get("c", [0.0])[0])
    assert len(told["b"]) == 1


def test_nobody_stands_in_training_and_among_the_held_out(contest: Trained) -> None:
    assert not set(contest.splits["validation"].profile_ids) & set(contest.splits["test"].profile_ids)


def test_what_people_held_out_do_moves_neither_the_scale_nor_the_model(contest: Trained) -> None:
    frame, labels, _ = planted()
    strange = np.where(held_out(frame.profile_ids, 0.2)[:, None], frame.values * 1000, frame.values)
    moved = train_classifier(
        Frame(frame.profile_ids, frame.cohorts, frame.names, strange), labels, model="m", week=MONDAY, classes=("no", "yes"), training=TrainingSettings(),
        train_dates=(MONDAY, MONDAY), hold_contest=True, seed=1, min_labels=60,
    )  # fmt: skip
    assert isinstance(moved, Trained)
    for told in ("algorithm", "is_chosen", "feature_names", "explanation", "calibration", "data_fingerprint"):
        assert [row[told] for row in moved.rows] == [row[told] for row in contest.rows]


def test_the_same_seed_gives_the_same_scores() -> None:
    first, second = trained(hold_contest=False), trained(hold_contest=False)
    assert isinstance(first, Trained) and isinstance(second, Trained)
    assert (
        first.splits["test"].probabilities[first.chosen] == second.splits["test"].probabilities[second.chosen]
    ).all()
    assert first.rows[0]["data_fingerprint"] == second.rows[0]["data_fingerprint"]


def test_a_stored_model_predicts_as_it_was_evaluated(contest: Trained) -> None:
    frame, _, _ = planted()
    people = frame.rows(held_out(frame.profile_ids, 0.2))
    row = next(row for row in contest.rows if row["is_chosen"])
    np.testing.assert_allclose(
        predict(row, people).probabilities[:, 0], contest.splits["test"].probabilities[contest.chosen][:, 1], atol=1e-12
    )


def test_too_little_data_is_a_reason_and_no_error() -> None:
    result = trained(n=40)
    assert isinstance(result, NotTrained)
    assert result.reason.startswith("not_trained: needs")


def test_the_settings_name_the_algorithms_that_there_are() -> None:
    assert set(get_args(Algorithm)) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_algorithm_scores_a_batch_as_its_rows_and_survives_storage(name: str) -> None:
    frame, labels, _ = planted(300, n_noise=2)
    y = np.array([label == "yes" for label in labels], dtype=int)
    read = Features(frame.values, items_of(y, n_items=30))
    scorer = fit(name, read, y, n_classes=2, seed=3)
    some = read.rows(slice(0, 20))
    whole = scorer.scores(some)
    assert whole.shape == (20, 1)
    each = [scorer.scores(some.rows(slice(i, i + 1))) for i in range(20)]
    np.testing.assert_allclose(np.vstack(each), whole, atol=1e-9)
    np.testing.assert_array_equal(from_bytes(*to_bytes(scorer)).scores(some), whole)


def test_one_model_is_the_same_bytes_each_time_and_two_are_not(tmp_path: Path) -> None:
    frame, labels, _ = planted(300, n_noise=2)
    y = np.array([label == "yes" for label in labels], dtype=int)
    script = (
        "import sys, numpy as np; from profile_pipeline.models.algorithms import fit; from profile_pipeline.models.artifact import to_bytes;"
        "from profile_pipeline.models.frame import Features; d = np.load(sys.argv[1]);"
        "sys.stdout.buffer.write(to_bytes(fit('rbf_svm_nystroem', Features(d['x']), d['y'], n_classes=2, seed=3))[0])"
    )
    np.savez(tmp_path / "rows.npz", x=frame.values, y=y)
    other_process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "rows.npz")], capture_output=True, check=True
    )
    here, _ = to_bytes(fit("rbf_svm_nystroem", Features(frame.values), y, n_classes=2, seed=3))
    assert other_process.stdout == here
    assert to_bytes(fit("rbf_svm_nystroem", Features(frame.values), y, n_classes=2, seed=4))[0] != here


def items_of(y: np.ndarray, *, n_items: int, seed: int = 5) -> ItemMatrix:
    """People of the one class take to the even items a little more, those of the other to the odd ones."""
    rng = np.random.default_rng(seed)
    leaning = np.where(np.arange(n_items)[None, :] % 2 == y[:, None], 0.35, 0.25)
    counts = sparse.csr_matrix((rng.random((len(y), n_items)) < leaning).astype(float))
    names = tuple(f"i{i:03d}" for i in range(n_items))
    return ItemMatrix(names, counts, sparse.csr_matrix(counts.shape))


def test_what_people_did_with_items_tells_what_their_features_do_not() -> None:
    n = 900
    y = np.random.default_rng(2).integers(0, 2, n)
    ids = np.array([f"p{i:05d}" for i in range(n)])
    noise = np.random.default_rng(3).normal(size=(n, 2))
    items = items_of(y, n_items=120)
    frame = Frame(ids, np.full(n, np.datetime64("2026-01-11")), ("a", "b"), noise, items)
    result = train_classifier(
        frame, ["yes" if v else "no" for v in y], model="m", week=MONDAY, classes=("no", "yes"), training=TrainingSettings(), train_dates=(MONDAY, MONDAY),
        hold_contest=True, seed=1, min_labels=60,
    )  # fmt: skip
    assert isinstance(result, Trained)
    told = result.splits["test"]
    is_test = held_out(ids, 0.2)
    # Who knows how the classes lean can do no better than the sum of what each item tells.
    odds = np.where(np.arange(120) % 2 == 1, np.log(0.35 / 0.25), np.log(0.25 / 0.35))
    against = np.where(np.arange(120) % 2 == 1, np.log(0.65 / 0.75), np.log(0.75 / 0.65))
    seen = items.counts.toarray()[is_test]
    ceiling = roc_auc_score(told.labels, seen @ odds + (1 - seen) @ against)
    assert result.chosen == ITEM_ALGORITHM
    assert roc_auc_score(told.labels, told.probabilities[ITEM_ALGORITHM][:, 1]) > ceiling - 0.08
    assert result.importance[0][0] == "120 items"
    people = frame.rows(is_test)
    row = next(row for row in result.rows if row["is_chosen"])
    np.testing.assert_allclose(predict(row, people).probabilities[:, 0], told.probabilities[ITEM_ALGORITHM][:, 1])


def test_the_item_matrix_holds_weights_and_deviations_from_the_persons_own_mean() -> None:
    consumed = pa.table({
        "profile_id": ["a", "a", "a", "b", "z"], "item_id": ["x", "y", "w", "x", "x"], "weight": [3.0, 1.0, 2.0, 5.0, 1.0],
        "rating": pa.array([5.0, 1.0, None, 4.0, 3.0], pa.float64()),
    })  # fmt: skip
    found = item_matrix(np.array(["a", "b", "c"]), consumed, ["x", "y"])
    assert found.counts.toarray().tolist() == [[3.0, 1.0], [5.0, 0.0], [0.0, 0.0]]
    assert found.deviations.toarray().tolist() == [[2.0, -2.0], [0.0, 0.0], [0.0, 0.0]]


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("evil",))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x80\x04.", "skops"),
        (b"tree", "pickle"),
        (b"PK\x03\x04", "lightgbm"),
        (skops.io.dumps(Evil()), "skops"),
        (skops.io.dumps(LogisticRegression()), "skops"),
    ],
)
def test_what_is_no_model_of_ours_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(ArtifactError):
        from_bytes(data, kind)


def test_the_first_churn_model_is_that_of_the_week_that_ends_on_day_56() -> None:
    weeks = [MONDAY + n * WEEK for n in range(12)]
    found = {(week - MONDAY).days + 7: cohorts_of(week, calendar_start=MONDAY, horizon_days=14) for week in weeks}
    assert next(day for day, c in found.items() if c.train) == 56
    assert [(day - MONDAY).days + 1 for day in found[84].train] == [28, 35, 42, 49, 56]
    assert (found[84].future - MONDAY).days + 1 == 70


def test_a_model_without_a_feature_says_what_it_needs() -> None:
    ids = np.array([f"p{i}" for i in range(400)], dtype=object)
    frame = Frame(ids, np.full(400, np.datetime64("2026-03-29")), (), np.empty((400, 0)))
    result = train_classifier(
        frame, ["a", "b"] * 200, model="gender", week=dt.date(2026, 3, 23), classes=["a", "b"], training=TrainingSettings(),
        train_dates=(dt.date(2026, 1, 5), dt.date(2026, 3, 29)), hold_contest=True, seed=1, min_labels=60,
    )  # fmt: skip
    assert isinstance(result, NotTrained)
    assert result.reason.startswith("not_trained: needs a feature")
