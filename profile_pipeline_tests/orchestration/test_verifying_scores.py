"""Scores and what is made of them, beside what the stored models make of features that were computed again from raw."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.verifying.missing import GONE
from profile_pipeline.orchestration.verifying.verify import Verdict, remedies, verify
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.conftest import LAST_DAY, World
from profile_pipeline_tests.orchestration.planted_faults import a_row_of, changed, removed

FAULTS = {
    "the last bit of a score": (
        changed("profiles.scores", "score", "nextafter(score, 100::double)", a_row_of("profiles.scores", f"as_of_date = date '{LAST_DAY}'")),
        "profiles.scores", "score",
    ),
    "a score by a model of another week": (
        changed("profiles.scores", "week", "week - 7", a_row_of("profiles.scores", f"as_of_date = date '{LAST_DAY}'")), "profiles.scores", "week",
    ),
    "a person without scores": (
        removed("profiles.scores", f"as_of_date = date '{LAST_DAY}' and profile_id = (select max(profile_id) from profiles.scores where as_of_date = date '{LAST_DAY}')"),
        "profiles.scores", "",
    ),
    "a predicted tag": (
        f"update profiles.tags set value = 'high' where as_of_date = date '{LAST_DAY}' and tag = 'churn_risk' and value = 'low'", "profiles.tags", "value",
    ),
    "how sure a predicted tag is": (
        f"update profiles.tags set confidence = nextafter(confidence, 2::double) where as_of_date = date '{LAST_DAY}' and tag = 'segment'", "profiles.tags", "confidence",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def opened(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    copy = world.copied(tmp_path_factory.mktemp("scored"))
    w = open_warehouse(copy.settings, copy.paths, owner="test", say=lambda _: None)
    yield w
    w.close()


def verified(w: Warehouse, world: World, archive: Path | None = None) -> Verdict:
    return verify(w, world.settings, n_people=8, has_new_versions=False, days=[LAST_DAY], archive=archive)


def test_the_scores_of_everybody_are_those_that_the_stored_models_give_to_the_bit(
    opened: Warehouse, world: World
) -> None:
    verdict = verified(opened, world, world.paths.archive)
    assert verdict.differences == []
    assert verdict.left_out == set()
    compared = verdict.comparison.n_rows
    assert compared["profiles.scores"] == opened.scalar(
        f"select count(*) from profiles.scores where as_of_date = date '{LAST_DAY}'"
    )
    assert compared["profiles.tags"] > 0
    assert verdict.archive.n_records > 0
    kinds = "select count(distinct kind) from profiles.tags where as_of_date = "
    assert opened.scalar(f"{kinds} date '{LAST_DAY}'") == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_what_models_say_is_found(opened: Warehouse, world: World, fault: str) -> None:
    statement, table, column = FAULTS[fault]
    opened.connection.execute("begin transaction")
    try:
        assert opened.execute(statement) > 0, "nothing was planted"
        verdict = verified(opened, world)
    finally:
        opened.connection.execute("rollback")
    assert (table, column) in {(d.table, d.column) for d in verdict.differences}
    assert remedies(verdict.differences, world.settings) == [f"profile-pipeline run --from {LAST_DAY} --to {LAST_DAY}"]


@pytest.mark.faults
def test_days_and_weeks_that_are_gone_are_told_whoever_is_looked_at_and_built_again(
    world: World, tmp_path: Path
) -> None:
    copy = world.copied(tmp_path)
    of = ["--data", str(copy.paths.data), "--config", str(copy.paths.config)]
    with closing(open_warehouse(copy.settings, copy.paths, owner="test", say=lambda _: None)) as w:
        past, week = (
            w.scalar(f"select {column} from {table} group by 1 order by 1 desc limit 1 offset {after}")
            for column, table, after in (("as_of_date", "profiles.tags", 2), ("week", "evaluation.metrics", 0))
        )
        at = dict.fromkeys(("profiles.tags", "profiles.scores"), ("as_of_date", past))
        of_week = ("models.churn", "models.selected_features", "evaluation.metrics", "evaluation.gates")
        at |= dict.fromkeys(of_week, ("week", week))
        gone = {}
        for table, (column, partition) in at.items():
            n = w.execute(f"delete from {table} where {column} = date '{partition}'")
            gone[table, str(partition)] = f"{n:,} that were built"
    told = json.loads(CliRunner().invoke(app, ["verify", "--json", "--sample", "1", *of]).stdout)
    found = {(d["table"], d["day"]): d["expected"] for d in told["differences"] if d["row"] in GONE.values()}
    assert found == gone
    (remedy,) = told["remedies"]
    assert CliRunner().invoke(app, [*remedy.split()[1:], *of]).exit_code == 0
    assert CliRunner().invoke(app, ["verify", *of]).exit_code == 0
