"""The recipes on real files, where those lie beside the project; the longer ones are left to `make results`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.real_data.build import Built, broken_promises, build
from benchmarks.real_data.deliveries import differing, joined, outcome, week_of
from benchmarks.real_data.page import section
from benchmarks.real_data.sets import SETS, SHARED, DataSet, named
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.orchestration.jobs import DAILY
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets lie beside the project and are not here"),
]
LEFT_TO_RESULTS = {"bank-marketing", "lastfm", "online-retail"}
N_DAYS = 14


@pytest.fixture(scope="module", params=[s for s in SETS if s.name not in LEFT_TO_RESULTS], ids=lambda s: s.name)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    dataset: DataSet = request.param
    yield build(dataset, tmp_path_factory.mktemp(dataset.name))


def test_counts_are_those_that_are_known_laws_hold_and_models_reach_what_simple_ones_reach(built: Built) -> None:
    assert any(fact.expected for fact in built.dataset.facts)
    assert broken_promises(built) == []


def test_its_section_of_the_results_holds_every_fact(built: Built) -> None:
    text = section(built)
    assert all(fact.name in text and built.found(fact) in text for fact in built.dataset.facts)
    assert "**" in text or not built.dataset.references


@pytest.mark.parametrize("name", sorted(LEFT_TO_RESULTS))
def test_loading_and_cleaning_find_what_is_known_of_the_longer_sets_too(name: str, tmp_path: Path) -> None:
    dataset, paths = named(name), Paths(config=named(name).recipe, data=tmp_path)
    dataset.land(dataset.source, paths.landing)
    runner = Runner(load_checked(paths), paths, lambda _: None)
    runner.ingest()
    cleaned = [
        key.to_user_string().replace("/", ".")
        for key in runner.defs.resolve_asset_graph().get_all_asset_keys()
        if key.path[0] == "cleaned"
    ]
    runner.execute(DAILY, first=runner.days[0], last=runner.days[-1], assets=cleaned)
    runner.instance.dispose()
    built = Built(dataset, tmp_path, {})
    known = [fact for fact in dataset.facts if fact.expected]
    assert {fact.name: built.found(fact) for fact in known} == {fact.name: fact.expected for fact in known}


def test_a_history_by_days_through_the_sensors_by_weeks_and_at_once_gives_the_same_tables(tmp_path: Path) -> None:
    retail = named("online-retail")
    days = sorted((retail.source / "by-day").glob("*.csv"))[:N_DAYS]
    ways = {
        "at once": (days, False),
        "weeks": (joined(days, tmp_path / "parts", week_of), False),
        "days": (days, True),
    }
    found = {
        way: outcome(retail.recipe, tmp_path / way, days, files, by_sensors=by_sensors)
        for way, (files, by_sensors) in ways.items()
    }
    filled = {table for table, (n_rows, _) in found["at once"].items() if n_rows}
    assert {"cleaned.events", "features.user_features", "models.segments", "profiles.tags"} <= filled
    assert differing(found["at once"], found["weeks"]) == []
    assert differing(found["at once"], found["days"]) == []
