import datetime as dt
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from profile_pipeline.applications.audiences import audiences_sql
from profile_pipeline.features.tables import TABLES as FEATURES
from profile_pipeline.models.tables import TABLES as MODELS
from profile_pipeline.models.tables import model_table
from profile_pipeline.orchestration.build import build_assets, build_defs, lineage_cache
from profile_pipeline.orchestration.declared_lineage import declared_lineages
from profile_pipeline.orchestration.lineage import Lineage, derive
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tables import TABLES as PROFILES
from profile_pipeline.profiles.tags import quantiles_needed, tags_sql
from profile_pipeline.settings import SegmentModelSettings, Settings
from profile_pipeline.settings_file import load_settings
from profile_pipeline.table import quote_identifier
from profile_pipeline.warehouse import duckdb as warehouse_module
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import sql_file
from profile_pipeline_tests.conftest import ROOT, World, small_settings

# What changed and who has to follow: read and written by every step of a day, so that arrows would be cycles.
KEPT_BY_ALL = {"cleaned.touched", "features.stale_days", "cleaned.ledger"}
# Which days are there, and how many rows: no value of the table ends anywhere.
COUNTS_ONLY = re.compile(r"select (count\(\*\)|distinct as_of_date|distinct event_date) from \S+$")
# Before it writes a run is held against which source claims which file.
CLAIMS = "select source, path from raw.files where n_loaded > 0"
PAGES = ("report", "dictionary")
STAGE_TABLE = re.compile(r"\b(?:raw|cleaned|features|models|evaluation|profiles|applications)\.[a-z_]+\b")
RECIPES = sorted(path.parent.name for path in (ROOT / "recipes").glob("*/profile.yaml"))


def table_specs(settings: Settings, data: Path) -> dict[str, dg.AssetSpec]:
    specs = build_defs(
        settings=settings, paths=Paths(config=ROOT / "profile.yaml", data=data)
    ).resolve_all_asset_specs()
    return {".".join(spec.key.path): spec for spec in specs if spec.key.path[-1] not in PAGES}


def columns_of(spec: dg.AssetSpec) -> set[str]:
    return {column.name for column in spec.metadata["dagster/column_schema"].columns}


def test_the_lineage_in_the_package_is_that_of_the_sql() -> None:
    shipped, anew = lineage_cache(), lineage_cache()
    anew._kept.clear()
    for cache in (shipped, anew):
        build_assets(
            load_settings(ROOT / "profile.yaml"), Paths(config=ROOT / "profile.yaml", data=ROOT / "data"), cache
        )
    assert shipped._kept == anew.used, "make lineage"


def test_an_amount_comes_from_the_events_amount() -> None:
    found = lineage_cache().of(sql_file("features.user_item_days"))
    assert found.columns["amount"] == (("cleaned.events", "amount"),)


def test_stars_and_relations_made_on_the_way_do_not_end_the_lineage() -> None:
    cache = lineage_cache()
    assert cache.of(sql_file("features.behavior")).columns["n_orders_7d"] == (
        ("features.user_days", "event_date"),
        ("features.user_days", "n_orders"),
    )
    assert cache.of(sql_file("cleaned.events")).columns["order_id"] == (("raw.events", "order_id"),)
    assert cache.of(sql_file("cleaned.sessions")).columns["started_at"] == (("cleaned.events", "event_time"),)


@pytest.mark.parametrize("recipe", ["", *RECIPES])
def test_every_column_comes_from_columns_that_are_there_of_tables_that_the_graph_shows(
    recipe: str, tmp_path: Path
) -> None:
    settings = load_settings(ROOT / "recipes" / recipe / "profile.yaml") if recipe else small_settings()
    specs = table_specs(settings, tmp_path)
    for name, spec in specs.items():
        found = spec.metadata["dagster/column_lineage"].deps_by_column
        assert found.keys() == columns_of(spec), name
        upstream = {".".join(dep.asset_key.path) for dep in spec.deps}
        for column, sources in found.items():
            for source in sources:
                table = ".".join(source.asset_key.path)
                assert table in upstream, f"{name}.{column} comes from {table}, which is no dependency"
                assert source.column_name in columns_of(specs[table]), f"{name}.{column}: {table}.{source.column_name}"


def test_of_what_python_makes_only_settings_and_the_calendar_come_from_nothing() -> None:
    settings = small_settings()
    from_nothing = {
        f"{name}.{column}"
        for name, lineage in declared_lineages(settings).items()
        if not name.startswith("raw.")
        for column, sources in lineage.columns.items()
        if not sources
    }
    weekly = [name for name in declared_lineages(settings) if name.startswith(("models.", "evaluation."))]
    classifiers = [name for name in settings.models if name != "segments"]
    allowed = {f"{name}.{column}" for name in weekly for column in ("week", "model")}
    allowed |= {
        f"models.{name}.{column}"
        for name in settings.models
        for column in ("train_from_date", "train_to_date", "seed", "library_versions", "artifact_format")
    }
    allowed |= {f"models.{name}.params" for name in classifiers}
    allowed |= {
        "models.segments.algorithm", "models.segments.calibration", "models.segments.reference", "evaluation.metrics.metric", "evaluation.curves.curve",
        "profiles.scores.model", "profiles.scores.is_final", "profiles.tags.tag", "profiles.tags.kind", "cleaned.touched.consumer",
    }  # fmt: skip
    assert from_nothing == allowed


def test_the_lineage_of_tags_and_audiences_is_that_of_their_sql() -> None:
    settings = small_settings()
    classifiers = [n for n, model in settings.models.items() if not isinstance(model, SegmentModelSettings)]
    quantiles = "".join(f", p.value as {quote_identifier(f'quantile:{k}')}" for k in quantiles_needed(settings.tags))
    views = {
        "snapshot_days": "select cast(null as date) as as_of_date",
        "tag_quantiles": f"select cast(null as date) as as_of_date{quantiles} from models.population as p",
        "other_classes": " union all ".join(
            f"select '{name}' as model, m.week, m.classes[1] as class from models.{name} as m" for name in classifiers
        ),
    }
    tables = (*PROFILES, *FEATURES, *MODELS, *(model_table(name) for name in settings.models))
    schemas = {table.name: table.types for table in tables}
    told = declared_lineages(settings)
    by_tags = derive(tags_sql(settings.tags, settings.models), schemas, views)
    assert set(by_tags.tables) == set(told["profiles.tags"].tables)
    assert {c: set(s) for c, s in by_tags.columns.items()} == _sets(told["profiles.tags"])
    by_audiences = derive(audiences_sql(settings.audiences, settings.tags), schemas, views)
    assert set(by_audiences.tables) == set(told["applications.audiences"].tables)
    # What decides on membership is a filter in SQL, and told as the source of the audience's name.
    filtered = {"audience": {("profiles.tags", "tag"), ("profiles.tags", "value")}}
    assert {c: set(s) for c, s in by_audiences.columns.items()} | filtered == _sets(told["applications.audiences"])


def test_segments_of_interests_and_categories_read_those_tables(tmp_path: Path) -> None:
    groups = SegmentModelSettings(
        task="segments", features=("interest:category=Kitchen", "crm:city=Wuhan", "n_views_30d")
    )
    settings = small_settings()
    changed = settings.model_copy(
        update={
            "models": {"groups": groups},
            "tags": {},
            "audiences": {},
            "features": settings.features.model_copy(update={"categories": ("city",)}),
        }
    )
    told = declared_lineages(changed)["models.groups"].columns["artifact"]
    assert set(told) == {
        ("features.interests", "kind"), ("features.interests", "interest"), ("features.interests", "score"), ("cleaned.users", "city"),
        ("features.user_features", "n_views_30d"),
    }  # fmt: skip
    upstream = {".".join(dep.asset_key.path) for dep in table_specs(changed, tmp_path)["profiles.scores"].deps}
    assert {"features.interests", "cleaned.users"} <= upstream


def _sets(lineage: Lineage) -> dict[str, set[tuple[str, str]]]:
    return {column: set(sources) for column, sources in lineage.columns.items()}


def test_a_step_reads_no_table_that_the_graph_does_not_show(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[frozenset[str], set[str]] = defaultdict(set)

    class Told:
        """A connection that notes which tables are named to it, by step."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self.connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self.connection, name)

        def execute(self, sql: str, *arguments: Any) -> Any:
            self.note(sql)
            return self.connection.execute(sql, *arguments)

        def sql(self, sql: str, **arguments: Any) -> Any:
            self.note(sql)
            return self.connection.sql(sql, **arguments)

        def note(self, sql: str) -> None:
            if sql == CLAIMS or COUNTS_ONLY.match(sql) or sql.startswith("create or replace temp view"):
                return
            try:
                keys = dg.AssetExecutionContext.get().selected_asset_keys
            except dg.DagsterInvariantViolationError:  # a check asks
                return
            read[frozenset(".".join(key.path) for key in keys)] |= set(STAGE_TABLE.findall(sql))

    opened = warehouse_module.open_database
    monkeypatch.setattr(warehouse_module, "open_database", lambda *given, **named: Told(opened(*given, **named)))
    monkeypatch.setattr(Warehouse, "create", lambda self, tables: None)
    copied = world.copied(tmp_path)
    settings = copied.settings.model_copy(
        update={"training": copied.settings.training.model_copy(update={"algorithms": ("logistic_regression", "item_logistic_regression")})}
    )  # fmt: skip
    runner = Runner(settings, copied.paths, lambda _: None)
    day = dt.date(2026, 3, 24)
    runner.execute("daily", first=day, last=day)
    runner.execute("weekly", first=dt.date(2026, 3, 16), last=dt.date(2026, 3, 16))
    runner.instance.dispose()

    specs = {".".join(spec.key.path): spec for spec in runner.defs.resolve_all_asset_specs()}
    assert {name for step in read for name in step} >= {n for n in specs if not n.startswith("raw.")} - {
        "cleaned.touched"
    }
    unseen = {}
    for step, tables in read.items():
        shown = {".".join(dep.asset_key.path) for name in step for dep in specs[name].deps} | step | KEPT_BY_ALL
        # The dictionary counts the rows of all tables.
        if step != {"applications.dictionary"} and (hidden := tables & specs.keys() - shown):
            unseen[tuple(sorted(step))] = sorted(hidden)
    assert unseen == {}
