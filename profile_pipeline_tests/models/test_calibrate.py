import numpy as np
import pytest

from profile_pipeline.models.calibrate import fit_calibration, probabilities


def test_scores_that_are_too_sure_become_the_shares_that_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-truth))).astype(int)
    p = probabilities(5 * truth[:, None], fit_calibration(5 * truth[:, None], labels, n_classes=2))[:, 1]
    for low in np.arange(0.1, 0.9, 0.1):
        inside = (p >= low) & (p < low + 0.1)
        assert labels[inside].mean() == pytest.approx(p[inside].mean(), abs=0.03)


def test_of_three_classes_the_slope_and_each_offset_are_recovered() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3))
    shares = np.exp(logits + np.array([0.0, 1.0, -1.0]))
    shares /= shares.sum(axis=1, keepdims=True)
    labels = (rng.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    (slope, first), (_, second), (_, third) = fit_calibration(4 * logits, labels, n_classes=3)
    assert [slope * 4, second - first, third - first] == pytest.approx([1.0, 1.0, -1.0], abs=0.1)


def test_rows_sum_to_one_even_for_a_class_that_nobody_was_in() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 3))
    p = probabilities(scores, fit_calibration(scores, rng.integers(0, 2, 300), n_classes=3))
    assert p.sum(axis=1) == pytest.approx(1)
    assert (p[:, 2] < 0.05).all()
    assert np.isfinite(p).all()


def test_scores_that_tell_nothing_give_the_share_of_all() -> None:
    labels = np.array([1] * 30 + [0] * 70)
    p = probabilities(np.ones((100, 1)), fit_calibration(np.ones((100, 1)), labels, n_classes=2))
    assert p[:, 1] == pytest.approx(0.3, abs=0.02)
