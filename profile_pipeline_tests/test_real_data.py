"""The recipes on real files, where those lie beside the project; the longer ones are left to `make results`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.real_data.build import Built, build, contract
from benchmarks.real_data.deliveries import differing, joined, outcome, week_of
from benchmarks.real_data.page import section
from benchmarks.real_data.sets import SETS, SHARED, DataSet, named

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


def test_the_tables_say_what_is_documented_of_the_set(built: Built) -> None:
    exact = [fact for fact in built.dataset.facts if fact.documented and fact.documented.replace(",", "").isdigit()]
    assert exact
    assert {fact.name: built.found(fact) for fact in exact} == {fact.name: fact.documented for fact in exact}


def test_the_database_keeps_the_contract(built: Built) -> None:
    verdict = contract(built)
    assert verdict is None or verdict.endswith(", 0 fail")


def test_models_reach_what_simple_ones_reach(built: Built) -> None:
    for reference in built.dataset.references:
        if reference.at_least is not None:
            found = built.metric(reference)
            assert found is not None and found["value"] >= reference.at_least, reference


def test_its_section_of_the_results_holds_every_fact(built: Built) -> None:
    text = section(built)
    assert all(fact.name in text and built.found(fact) in text for fact in built.dataset.facts)
    assert "**" in text or not built.dataset.references


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
