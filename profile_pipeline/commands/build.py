"""Commands that build: the synthetic world, the demo, runs, and the UI.

Not here: what a run computes (`orchestration`).
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    day_of,
    opened,
    out,
    print_measured,
    print_next,
    say,
)
from profile_pipeline.shell import word
from profile_pipeline.wording import counted


def world(
    users: Annotated[int, typer.Option(help="how many people")] = 3000,
    days: Annotated[int, typer.Option(help="how many days; the last is always the same")] = 85,
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 7,
    folder: Annotated[Path, typer.Option("--out", help="folder that gets landing/ and truth/")] = Path("data"),
) -> None:
    """Write the files of a synthetic shop as they would land, and apart from them the truth about its people."""
    from profile_pipeline.raw.world.write import write_world

    made = write_world(folder, n_users=users, n_days=days, seed=seed, say=say)
    out.print(
        f"{counted(made.n_event_lines, 'event')} of {counted(made.n_users, 'person', 'people')} from {made.first_day} to {made.last_day}, {counted(made.n_files, 'file')}, {made.size_bytes / 1e6:.1f} MB"
    )


def run(
    first: Annotated[str | None, typer.Option("--from", help="first day, YYYY-MM-DD")] = None,
    last: Annotated[str | None, typer.Option("--to", help="last day, YYYY-MM-DD")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="rebuild older snapshots that late events have outdated")
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="train the newest weeks again, although they are trained")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Load what has landed and build everything that waits; with --from and --to, build these days again."""
    from profile_pipeline.orchestration.building.days import checked_range, ended_weeks
    from profile_pipeline.orchestration.running import Runner

    settings, paths = opened(config, data)
    if (first is None) != (last is None):
        raise CommandError("give both --from and --to, or neither")
    days = (day_of(first), day_of(last)) if first and last else None
    runner = Runner(settings, paths, say)
    first_day, last_day = days or (runner.days[0], runner.days[-1])
    checked_range(first_day, last_day, runner.days)
    weeks = ended_weeks(settings.calendar) if retrain else []
    with runner.publishing_once():
        n_files = runner.ingest()
        if n_files == 0 and not paths.warehouse.exists():
            raise CommandError(
                f"no file in {paths.landing} and no warehouse yet. Put files there, where {paths.config.name} expects them: {', '.join(s.path for s in settings.sources.values())}"
            )
        if days:
            runner.build_range(*days)
        elif stale:
            out.print(f"{counted(runner.rebuild_stale(), 'stale snapshot')} rebuilt")
        else:
            runner.build_all()
            if retrain:
                runner.train(weeks[-settings.training.backfill_weeks :])
                runner.build_profiles(runner.profile_days())
    print_measured(runner.measured.stages, {})
    runner.complain()


def demo(config: ConfigOption = None, data: DataOption = None) -> None:
    """Make a synthetic shop, build everything from it, and say what came of it; if interrupted, run it again and it goes on."""
    from profile_pipeline.orchestration.demo import BUDGET, run_demo

    settings, paths = opened(config, data)
    told = run_demo(settings, paths, say=say)
    print_measured(told.stages, BUDGET)
    table = Table("table", "rows", title="what is there", title_justify="left")
    for name, n_rows in told.counts:
        table.add_row(name, f"{n_rows:,}")
    out.print(table)
    table = Table(
        "model",
        "algorithm",
        "split",
        "metric",
        "value",
        "95 % interval",
        "best baseline",
        title=f"what the newest models are worth (week {told.week}; test: people held out, future: days after training)",
        title_justify="left",
    )
    for m in told.metrics:
        span = "" if m["ci_low"] is None else f"{m['ci_low']:.3f} to {m['ci_high']:.3f}"
        table.add_row(
            m["model"],
            m["algorithm"],
            m["split"],
            m["metric"],
            f"{m['value']:.3f}",
            span,
            f"{m['baseline']} {m['baseline_value']:.3f}",
        )
    out.print(table)
    out.print(told.left_out, style="dim")
    out.print(f"report: {told.report}")
    print_next(f"show {word(told.example)}", config, data, before="a profile: ")
    if config or data:
        print_next("ui", config, data)
    else:
        out.print("next: make ui", style="bold")


def ui(
    port: Annotated[int, typer.Option(help="port on 127.0.0.1")] = 3000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="a name beside localhost by which the UI may be called, such as a proxy's")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Start the Dagster UI for this machine only, with the sensors and schedules that keep profiles fresh."""
    from profile_pipeline.orchestration.ui.servers import serve

    _, paths = opened(config, data)
    raise typer.Exit(serve(paths, port=port, say=say, allowed_hosts=allow_host or ()))
