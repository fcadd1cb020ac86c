"""The assets of evaluation: metrics, gates and the report of a week.

Not here: judging (`orchestration.building.judging`), metrics (`evaluation/`), or training.
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import dagster as dg

from profile_pipeline.evaluation.tables import CALIBRATION, CONFUSION, CURVES, GATES, IMPORTANCE, METRICS, TABLES
from profile_pipeline.models.tables import SEGMENT_TRAITS, SELECTED_FEATURES
from profile_pipeline.orchestration.building.days import day_keys, weekly_partitions
from profile_pipeline.orchestration.building.model_rows import weeks_of, write_rows
from profile_pipeline.orchestration.lineage import Lineage
from profile_pipeline.orchestration.table_assets import (
    OWNERS,
    code_version,
    key_of,
    report_weeks,
    source_version,
    spec_of,
)
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def build_evaluation(settings: Settings, paths: Paths, declared: Mapping[str, Lineage]) -> list[dg.AssetsDefinition]:
    """Return the assets of evaluation."""
    weekly = weekly_partitions(settings.calendar)
    version = code_version(
        source_version("evaluation", "applications/recommend.py"),
        settings.fingerprint("training", "recommendations", "seed"),
    )

    @dg.multi_asset(
        name="judged_models",
        specs=[
            spec_of(
                table,
                deps=declared[table.name].tables,
                kinds={"duckdb", "python"},
                version=version,
                lineage=declared[table.name],
                partitions_def=weekly,
            )
            for table in TABLES
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def judged_models(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.MaterializeResult]:
        weeks = weeks_of(context, day_keys(weekly))
        # Here and not above: what it brings along would be loaded by every process that lists assets.
        from profile_pipeline.orchestration.building.judging import judge_week

        for week in weeks:
            evaluated, importance = judge_week(warehouse, settings, week)
            with warehouse.transaction():
                for table, rows in (
                    (METRICS, evaluated.metrics), (CALIBRATION, evaluated.calibration), (CONFUSION, evaluated.confusion), (CURVES, evaluated.curves),
                    (GATES, evaluated.gates), (IMPORTANCE, importance),
                ):  # fmt: skip
                    write_rows(warehouse, table, rows, week=week)
            for row in evaluated.gates:
                context.log.info(
                    f"{week} {row['model']}: {'passed' if row['is_passed'] else 'not passed'}; {row['reason']}"
                )
        for table in TABLES:
            told = report_weeks(context, warehouse, table, weeks)
            if table is GATES:
                told["verdicts"] = dg.MetadataValue.md(_verdicts(warehouse, weeks[-1]))
            yield dg.MaterializeResult(asset_key=key_of(table.name), metadata=told)

    reported = [t.name for t in (*TABLES, SEGMENT_TRAITS, SELECTED_FEATURES)] + [f"models.{m}" for m in settings.models]

    @dg.asset(
        key=dg.AssetKey(["evaluation", "report"]), deps=[key_of(name) for name in reported], partitions_def=weekly, group_name="evaluation",
        kinds={"python", "html"}, owners=OWNERS, code_version=version, backfill_policy=dg.BackfillPolicy.single_run(),
        description="A page a week: how far each model may be trusted, and why; data/reports/<week>/index.html.",
    )  # fmt: skip
    def report(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        from profile_pipeline.evaluation.report import render_report
        from profile_pipeline.orchestration.building.reporting import read_report

        weeks = weeks_of(context, day_keys(weekly))
        for week in weeks:
            page = render_report(read_report(warehouse, settings, week))
            path = paths.reports / str(week) / "index.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(page, encoding="utf-8")
            temporary.replace(path)
        last = paths.reports / str(weeks[-1]) / "index.html"
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.url(f"/reports/{weeks[-1]}/index.html"),
                "report": dg.MetadataValue.path(str(last)),
                "size_bytes": last.stat().st_size,
                "verdicts": dg.MetadataValue.md(_verdicts(warehouse, weeks[-1])),
            }
        )

    return [judged_models, report]


def _verdicts(w: Warehouse, week: dt.date) -> str:
    rows = w.rows(
        "select model, is_passed, reason from evaluation.gates where week = $week order by model", {"week": week}
    )
    return "\n".join(
        [
            "| model | verdict | why |",
            "| --- | --- | --- |",
            *(f"| {m} | {'passed' if ok else 'not passed'} | {why} |" for m, ok, why in rows),
        ]
    )
