"""The steps of the small world, one after the other as its runs took them, for each of which a text runs on both engines.

Each step reads what DuckDB holds, so that a difference is told where it arises. Not here: any test.
"""

import datetime as dt
from typing import Any

import pyarrow as pa

from profile_pipeline.applications.audiences import audiences_sql
from profile_pipeline.cleaned.sessions import cut_long_chains
from profile_pipeline.features.matrix import user_features_sql
from profile_pipeline.features.tables import TILES
from profile_pipeline.features.windows import INTEREST_DAYS, VISIBLE, decay_weights, role_weights, summed_interest_days
from profile_pipeline.models.labels import attribute_labels, cohorts_of, outcome_labels
from profile_pipeline.models.population import population_sql
from profile_pipeline.orchestration.assets.cleaned import sql_parameters
from profile_pipeline.orchestration.assets.profiles import segment_model
from profile_pipeline.profiles.tags import quantiles_needed, tags_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, Settings
from profile_pipeline.warehouse.sql import bound, confined, sql_file
from profile_pipeline_tests.engines import Engine

ONE_DAY = dt.timedelta(days=1)


class SmallWorld:
    """A finished world, walked again on two engines.

    Parameters
    ----------
    week
        Monday of the newest week that has ended; snapshots are those of its last day and of the day after.
    """

    STEPS = ("judge", "cut_sessions", "versions", "tiles", "snapshots", "labels", "profiles", "metrics")

    def __init__(self, engine: Engine, settings: Settings, week: dt.date) -> None:
        self.engine, self.settings, self.week = engine, settings, week
        self.end = week + 6 * ONE_DAY
        self.days = [self.end, self.end + ONE_DAY]
        first, last = engine.connection.execute(
            "select min(event_date), max(event_date) from cleaned.events"
        ).fetchall()[0]
        self.known: dict[str, Any] = {
            **sql_parameters(settings), "segment_model": segment_model(settings), "final_before": self.end + ONE_DAY, "week": week, "as_of_date": self.end,
            "first_day": first, "last_day": last,
        }  # fmt: skip
        self._taken: set[str] = set()

    def take(self, *steps: str) -> None:
        """Take steps that were not taken yet; each stands by itself."""
        for step in steps:
            if step not in self._taken:
                getattr(self, step)()
                self._taken.add(step)

    def judge(self) -> None:
        self._make("scoped_events", "cleaned.identified_events")
        self._hold("shared_hashes", "select event_hash from raw.events group by event_hash having count(*) > 1")
        for name in ("duplicate_records", "bot_days"):
            self._make(name, f"cleaned.{name}")
        self._make("excluded_records", "cleaned.excluded_events")
        self._compare("cleaned.events", "cleaned.excluded_events")
        self._hold("ledger_days", "select distinct event_date from raw.events")
        self._compare("cleaned.ledger")
        self._drop("scoped_events", "shared_hashes", "duplicate_records", "bot_days", "excluded_records")

    def cut_sessions(self) -> None:
        self._hold(
            "session_input",
            "select stream_id, event_date, event_time, event_id, alias_id, page, role from cleaned.events where stream_id is not null",
        )
        self._make("session_chains", "cleaned.session_chains")
        self._make("session_cuts", "cleaned.session_cuts")
        self._compare("cleaned.long_chain_events")
        chains = self.engine.connection.execute(sql_file("cleaned.long_chain_events")).fetchall()
        cuts = [event for (event,) in self.engine.connection.execute("select event_id from session_cuts").fetchall()]
        self._hold_arrow("session_cuts", {"event_id": pa.array([*cuts, *cut_long_chains(chains)], pa.string())})
        self._make("session_events", "cleaned.session_events")
        self._make("fresh_sessions", "cleaned.sessions")
        self._compare("cleaned.session_days")
        self._drop("session_input", "session_chains", "session_cuts", "session_events", "fresh_sessions")

    def versions(self) -> None:
        full = [name for name, source in self.settings.sources.items() if source.full_records]
        self._hold_arrow("full_record_sources", {"source": pa.array(full, pa.string())})
        self._compare("cleaned.identities", "cleaned.users", "cleaned.items", "cleaned.relations")

    def tiles(self) -> None:
        self._compare(*(tile.name for tile in TILES))
        # Confined to what was touched, as a late event leaves it.
        self._hold(
            "touched_rows",
            "select distinct event_date, alias_id from cleaned.events where alias_id is not null and event_date > date '2026-03-20' and hash(alias_id) % 5 = 0",
        )
        for tile in TILES:
            self._compare_text(
                confined(
                    sql_file(tile.name),
                    tables=("cleaned.events", "cleaned.session_days"),
                    scope="touched_rows",
                    keys=("event_date", "alias_id"),
                )
            )

    def snapshots(self) -> None:
        self._hold_arrow("snapshot_days", {"as_of_date": pa.array(self.days, pa.date32())})
        self.engine.hold("decay_weights", decay_weights(self.settings.features.interest_half_life_days))
        self.engine.hold("role_weights", role_weights(self.settings.features.role_weights))
        self._make(INTEREST_DAYS, f"features.{INTEREST_DAYS}")
        self._compare_text(summed_interest_days(INTEREST_DAYS))
        for view, query in VISIBLE.items():
            self.engine.make(view, query)
        for table in ("features.behavior", "features.interests", "features.demand"):
            self._compare_text(sql_file(table))
        for has_events in (True, False):
            matrix = user_features_sql(self.settings.features.attributes, has_events=has_events)
            self._compare_text(matrix)
        self._drop(*VISIBLE, INTEREST_DAYS)
        self._hold(
            "asked_rows",
            "select row_number() over (order by alias_id, event_date) as row_number, alias_id as person, event_date as stated_date,"
            " cast(null as timestamp) as stated_at from features.user_days where event_date > date '2026-03-01'",
        )
        self._compare("features.asked_people")
        self._drop("asked_rows")

    def labels(self) -> None:
        self._compare_text(population_sql())
        for model in self.settings.models.values():
            if isinstance(model, AttributeModelSettings):
                self._compare_text(*attribute_labels(model, self.end))
            elif isinstance(model, OutcomeModelSettings):
                cohort = cohorts_of(
                    self.week, calendar_start=self.settings.calendar.start, horizon_days=model.horizon_days
                ).future
                assert cohort is not None
                self._compare_text(*outcome_labels(model, cohort))

    def profiles(self) -> None:
        self._compare_text(sql_file("profiles.user_profiles"))
        quantiles = {
            f"quantile:{key}": pa.array([1.5, 0.0], pa.float64()) for key in quantiles_needed(self.settings.tags)
        }
        self._hold_arrow("tag_quantiles", {"as_of_date": pa.array(self.days, pa.date32()), **quantiles})
        self._hold(
            "other_classes",
            " union all ".join(f"select '{name}' as model, week, classes[1] as class from models.{name} where is_chosen and len(classes) = 2" for name in self.settings.models),
        )  # fmt: skip
        self._compare_text(tags_sql(self.settings.tags, self.settings.models))
        self._compare_text(
            audiences_sql(self.settings.audiences, self.settings.tags),
            {"first_day": self.days[0], "last_day": self.days[-1]},
        )

    def metrics(self) -> None:
        self._hold("metric_days", "select distinct event_date from cleaned.events")
        self._compare("applications.daily_metrics")

    def _compare(self, *tables: str) -> None:
        for table in tables:
            self._compare_text(sql_file(table))

    def _compare_text(self, text: str, parameters: dict[str, Any] | None = None) -> None:
        self.engine.arrow(text, bound(text, self.known | (parameters or {})))

    def _make(self, name: str, table: str) -> None:
        text = sql_file(table)
        self.engine.make(name, text, bound(text, self.known))

    def _hold(self, name: str, sql: str) -> None:
        self.engine.connection.execute(f"create or replace temp table {name} as {sql}")

    def _hold_arrow(self, name: str, columns: dict[str, pa.Array]) -> None:
        self.engine.hold(name, pa.table(columns))

    def _drop(self, *names: str) -> None:
        for name in names:
            self.engine.connection.execute(f"drop table temp.{name}")
