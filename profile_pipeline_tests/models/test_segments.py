import datetime as dt
import json

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from profile_pipeline.models.contest import NotTrained
from profile_pipeline.models.frame import Frame
from profile_pipeline.models.inputs import SEGMENT_FEATURES
from profile_pipeline.models.segments import Segmented, assign, kmeans, matched_names, naming_chain, train_segments
from profile_pipeline.settings import SegmentModelSettings

WEEK = dt.date(2026, 1, 5)


@pytest.mark.parametrize("seed", range(10))
def test_the_articles_example_has_two_centres_whatever_the_seed(seed: int) -> None:
    centres = kmeans(np.array([[1, 1], [1, 2], [2, 2], [2, 3]]), 2, seed=seed).cluster_centers_
    assert sorted(centres.tolist()) == [[1.0, 1.5], [2.0, 2.5]]


def test_one_start_can_stop_where_ten_do_not() -> None:
    data = np.array([[1, 1], [1, 2], [2, 2], [2, 3]])
    with threadpool_limits(1):
        one = {round(float(kmeans(data, 2, seed=seed, n_init=1).inertia_), 6) for seed in range(20)}
        ten = {round(float(kmeans(data, 2, seed=seed).inertia_), 6) for seed in range(20)}
    assert one == {1.0, round(4 / 3, 6)}
    assert ten == {1.0}


def test_a_segment_keeps_its_name_when_the_algorithm_numbers_its_clusters_otherwise() -> None:
    people = [f"p{i}" for i in range(6)]
    before = dict(zip(people, ["s1", "s1", "s2", "s2", "s3", "s3"], strict=True))
    assert matched_names(people, np.array([2, 2, 0, 0, 1, 1]), 3, before) == ["s2", "s3", "s1"]


def test_a_new_segment_gets_a_name_that_was_never_used() -> None:
    before = {"p0": "s1", "p1": "s2"}
    assert matched_names(["p0", "p1", "p2"], np.array([0, 1, 2]), 3, before, ["s3"]) == ["s1", "s2", "s4"]


def test_segments_are_named_after_the_week_that_was_newest_when_they_were_trained() -> None:
    first, second, third, fourth = (WEEK + dt.timedelta(weeks=n) for n in range(4))
    recorded = {second: None, third: second}
    assert naming_chain(fourth, [first, second, third], recorded) == [third, second]
    assert naming_chain(third, [first, second, third], recorded) == [second]
    assert naming_chain(first, [second, third], recorded) == []
    assert naming_chain(third, [first, second], {}) == [second, first]


def blobs(n: int, seed: int) -> tuple[Frame, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    values = np.zeros((n, len(SEGMENT_FEATURES)))
    values[:, 0] = truth * 10 + rng.normal(0, 0.2, n)
    values[:, 4] = (truth == 1) * 5 + rng.normal(0, 0.2, n)
    ids = np.array([f"p{i:04d}" for i in range(n)])
    return Frame(ids, np.full(n, np.datetime64("2026-01-11")), SEGMENT_FEATURES, values), truth


def trained(frame: Frame, before: dict[str, str]) -> Segmented:
    result = train_segments(
        frame,
        model="segments",
        week=WEEK,
        settings=SegmentModelSettings(task="segments"),
        seed=1,
        train_dates=(WEEK, WEEK),
        before=before,
    )
    assert isinstance(result, Segmented)
    return result


def test_planted_segments_are_found_and_beat_shuffled_columns() -> None:
    frame, truth = blobs(300, 0)
    result = trained(frame, {})
    assert len(set(result.segments)) == 3
    assert {len(set(result.segments[truth == t])) for t in range(3)} == {1}
    assert result.silhouette > result.shuffled_silhouette + 0.1


def test_only_people_who_moved_change_their_segment() -> None:
    frame, _ = blobs(300, 0)
    first = trained(frame, {})
    moved = frame.values.copy()
    moved[:30] = frame.values[np.arange(30) + 1]
    later = Frame(frame.profile_ids, frame.cohorts, frame.names, moved)
    second = trained(later, dict(zip(first.profile_ids.tolist(), first.segments.tolist(), strict=True)))
    assert (first.segments[31:] == second.segments[31:]).all()


def test_a_stored_model_assigns_as_it_was_trained() -> None:
    frame, _ = blobs(300, 0)
    result = trained(frame, {})
    segments, scores = assign(result.row, frame)
    assert (segments == result.segments).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_centres_found_on_a_sample_settle_on_all_people() -> None:
    frame, truth = blobs(3000, 0)
    settings = SegmentModelSettings(task="segments", max_fit_rows=100)
    result = train_segments(
        frame, model="segments", week=WEEK, settings=settings, seed=1, train_dates=(WEEK, WEEK), before={}
    )
    assert isinstance(result, Segmented)
    assert {len(set(result.segments[truth == t])) for t in range(3)} == {1}
    assert json.loads(result.row["explanation"])["is_converged"]


def test_a_handful_of_strangers_make_no_segment() -> None:
    frame, _ = blobs(600, 0)
    values = frame.values.copy()
    values[:4, 2] = 1e6
    result = trained(Frame(frame.profile_ids, frame.cohorts, frame.names, values), {})
    assert result.least_share >= 0.3


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_people_who_do_all_the_same_are_a_reason_and_no_error(fill: float) -> None:
    ids = np.array([f"p{i}" for i in range(200)])
    frame = Frame(ids, np.full(200, np.datetime64("2026-01-11")), SEGMENT_FEATURES, np.full((200, len(SEGMENT_FEATURES)), fill))  # fmt: skip
    result = train_segments(
        frame, model="segments", week=WEEK, settings=SegmentModelSettings(task="segments"), seed=1, train_dates=(WEEK, WEEK), before={}
    )  # fmt: skip
    assert isinstance(result, NotTrained)
    assert result.reason == "not_trained: needs more than 3 people who differ in what they do, found 1"


def test_a_feature_that_nobody_has_is_no_trait_with_a_number() -> None:
    frame, _ = blobs(300, 0)
    values = frame.values.copy()
    values[:, 3] = np.nan
    result = trained(Frame(frame.profile_ids, frame.cohorts, frame.names, values), {})
    assert {t["overall_mean"] for t in result.traits if t["feature"] == SEGMENT_FEATURES[3]} <= {None}
