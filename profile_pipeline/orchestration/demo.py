"""The demo: from nothing to profiles on the screen, each step safe to repeat.

Not here: the world, or what the jobs compute.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import Settings

N_USERS, SEED = 3000, 7
# CPU seconds on two cores, by stage; what they add up to is the promise.
BUDGET = {
    "world": 5.0,
    "ingest": 8.0,
    "cleaned to features": 30.0,
    "training": 45.0,
    "report": 8.0,
    "profiles and applications": 12.0,
    "publish": 2.0,
}
WORLD_DONE = "world_is_written"
SHOWN = {"roc_auc": None, "macro_f1": None, "accuracy": None, "silhouette": None, "recall@10": None}


@dataclass(frozen=True)
class Told:
    """What the demo says at its end."""

    stages: dict[str, tuple[float, float]]
    counts: list[tuple[str, int]]
    week: dt.date
    metrics: list[dict[str, Any]]
    left_out: str
    report: Path
    example: str


def run_demo(settings: Settings, paths: Paths, *, say: Callable[[str], None]) -> Told:
    """Run the demo, or what is left of it."""
    runner = Runner(settings, paths, say)
    n_days = (runner.days[-1] - runner.days[0]).days + 1
    done = paths.truth / WORLD_DONE
    if not done.exists() and not paths.warehouse.exists():
        say(f"world: {N_USERS} people, {n_days} days")
        with runner.measured.stage("world"):
            write_world(
                paths.data,
                n_users=N_USERS,
                n_days=n_days,
                seed=SEED,
                truth=paths.truth,
                last_day=runner.days[-1],
                say=say,
            )
        done.touch()
    with runner.publishing_once():
        runner.ingest()
        runner.build_all(every_day=True)
    return _told(runner)


def _told(runner: Runner) -> Told:
    settings, paths = runner.settings, runner.paths
    warehouse = open_warehouse(settings, paths, owner="profile-pipeline demo", say=runner.say)
    try:
        counts = [(t.name, warehouse.scalar(f"select count(*) from {t.name}")) for t in all_tables(settings)]
        week = warehouse.scalar("select max(week) from evaluation.gates")
        metrics = warehouse.dicts(
            "select m.* from evaluation.metrics as m where m.week = $week and m.baseline is not null and m.split <> 'validation' or (m.week = $week and m.metric = 'silhouette'"
            " and m.baseline is not null) order by m.model, m.split, m.metric",
            {"week": week},
        )
        chosen = {
            name: [
                r[0]
                for r in warehouse.rows(
                    f"select algorithm from models.{name} where week = $week and is_chosen", {"week": week}
                )
            ]
            for name in settings.models
        }
        example = warehouse.rows(
            "select p.user_ids[1] from profiles.user_profiles as p join applications.recommendations as r on r.profile_id = p.profile_id and r.as_of_date = p.as_of_date"
            " where p.as_of_date = (select max(as_of_date) from profiles.user_profiles) and len(p.user_ids) = 1 and r.score > 0 and p.segment is not null"
            " order by p.n_orders_all desc, p.profile_id limit 1"
        )
    finally:
        warehouse.close()
    told = [
        m
        for m in metrics
        if m["metric"] in SHOWN and (m["model"] == "recommendations" or m["algorithm"] in chosen.get(m["model"], []))
    ]
    training = settings.training
    left_out = (
        f"Left out for time (settings under `training:`): weeks before the newest {training.backfill_weeks}; the contest of all algorithms in all but the newest week; more than "
        f"{training.folds} folds, {training.max_features} features and {training.n_bootstrap} resamples; the exact RBF kernel above {training.exact_kernel_rows} rows. "
        f"Profiles are built for {', '.join(map(str, runner.profile_days()))}; any other day by `profile-pipeline run --from … --to …` or in the UI."
    )
    return Told(
        runner.measured.stages,
        counts,
        week,
        told,
        left_out,
        paths.reports / str(week) / "index.html",
        example[0][0] if example else "",
    )
