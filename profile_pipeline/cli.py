"""The command line: thin over the same code and the same Dagster jobs as the UI.

Here arguments are read and results printed. Not here: what any command does.
"""

import datetime as dt
import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.table import Table

from profile_pipeline.errors import ExpectedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="User profiles that a data engineer can own.",
)
out, err = Console(), Console(stderr=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="profile.yaml; else PROFILE_PIPELINE_CONFIG, else ./profile.yaml")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="data folder; else PROFILE_PIPELINE_DATA, else ./data")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


class CommandError(ExpectedError):
    """The command can't do what was asked; the text says what to do."""


def main() -> None:
    """Run a command; what is wrong with the input is one message and exit status 1, never a stack."""
    try:
        app()
    except (ExpectedError, duckdb.Error, OSError) as error:
        err.print(str(error).strip(), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


def say(text: str) -> None:
    """Tell progress."""
    err.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def _print_json(value: object) -> None:
    """Print to standard output as it is: no colours, no wrapping."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str, indent=1) + "\n")


def _opened(config: Path | None, data: Path | None) -> tuple[Settings, Paths]:
    from profile_pipeline.orchestration.configuration import load_checked

    paths = Paths.from_environment(config=config, data=data)
    return load_checked(paths), paths


@app.command()
def world(
    users: Annotated[int, typer.Option(help="people")] = 3000,
    days: Annotated[int, typer.Option(help="days, the last of which is fixed")] = 85,
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 7,
    folder: Annotated[Path, typer.Option("--out", help="gets landing/ and truth/")] = Path("data"),
) -> None:
    """Write the synthetic world: files as they would land, and apart from them the truth."""
    from profile_pipeline.raw.world.write import write_world

    made = write_world(folder, n_users=users, n_days=days, seed=seed, say=say)
    out.print(
        f"{made.n_event_lines:,} events of {made.n_users:,} people from {made.first_day} to {made.last_day}, {made.n_files} files, {made.size_bytes / 1e6:.1f} MB"
    )


@app.command()
def run(
    first: Annotated[str | None, typer.Option("--from", help="first day, YYYY-MM-DD")] = None,
    last: Annotated[str | None, typer.Option("--to", help="last day, YYYY-MM-DD")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="rebuild the snapshots that late events have outdated")
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="train the newest weeks again, also those trained before")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Load what has landed and build everything that waits; or a range of days by hand."""
    from profile_pipeline.orchestration.running import Runner

    settings, paths = _opened(config, data)
    if (first is None) != (last is None):
        raise CommandError("give both --from and --to, or neither")
    days = (_day(first), _day(last)) if first and last else None
    runner = Runner(settings, paths, say)
    if days:
        from profile_pipeline.orchestration.days import checked_range

        checked_range(*days, runner.days)
    n_files = runner.ingest()
    if n_files == 0 and not paths.warehouse.exists():
        raise CommandError(
            f"no complete file in {paths.landing} and no warehouse yet. Put files there, in the folders that `sources:` of {paths.config.name} names."
        )
    if days:
        runner.build_range(*days)
    elif stale:
        out.print(f"{runner.rebuild_stale()} stale snapshots rebuilt")
    else:
        runner.build_all()
        if retrain:
            runner.train(runner.weeks[-settings.training.backfill_weeks :])
            runner.build_profiles(runner.profile_days())
    _print_measured(runner.measured.stages, {})


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"found {text!r}, expected a day as YYYY-MM-DD") from None


@app.command()
def demo(config: ConfigOption = None, data: DataOption = None) -> None:
    """Make the synthetic world, build everything, and say what came of it; a killed demo goes on where it was."""
    from profile_pipeline.orchestration.demo import BUDGET, run_demo

    settings, paths = _opened(config, data)
    told = run_demo(settings, paths, say=say)
    _print_measured(told.stages, BUDGET)
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
        title=f"what the newest models are worth (week {told.week})",
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
    out.print(f"a profile: profile-pipeline show {told.example}")
    out.print("next: make ui", style="bold")


def _print_measured(stages: dict[str, tuple[float, float]], budget: dict[str, float]) -> None:
    if not stages:
        out.print("nothing waits: everything is built")
        return
    table = Table("stage", "seconds", "CPU seconds", *(["budget"] if budget else []))
    order = [*budget, *stages]
    for name, (wall, cpu) in sorted(stages.items(), key=lambda stage: order.index(stage[0])):
        table.add_row(name, f"{wall:.1f}", f"{cpu:.1f}", *([str(budget.get(name, ""))] if budget else []))
    table.add_row(
        "all",
        f"{sum(w for w, _ in stages.values()):.1f}",
        f"{sum(c for _, c in stages.values()):.1f}",
        *([str(sum(budget.values()))] if budget else []),
    )
    out.print(table)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="port on loopback")] = 3000,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Start the Dagster UI of this project on loopback."""
    from profile_pipeline.orchestration.servers import serve

    _, paths = _opened(config, data)
    raise typer.Exit(serve(paths, port=port, workspace=Path("workspace.yaml").absolute(), say=say))


@app.command()
def show(
    profile: Annotated[str, typer.Argument(help="profile_id, alias such as user:42, or user_id")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Print a person's profile as it was last published."""
    from profile_pipeline.profiles.card import render_card
    from profile_pipeline.profiles.lookup import CANDIDATES, NEAR
    from profile_pipeline.warehouse.reading import Serving

    with Serving(Paths.from_environment(data=data).serving) as serving:
        found = [row["profile_id"] for row in serving.dicts(CANDIDATES, {"name": profile})]
        if not found:
            near = ", ".join(row["alias_id"] for row in serving.dicts(NEAR, {"name": profile}))
            raise CommandError(
                f"found nobody called {profile!r}, expected a profile_id, an alias such as user:42, or a user_id"
                + (f"; there are {near}" if near else "")
            )
        of = {"profile_id": found[0]}
        rows = serving.dicts("select * from profiles.user_profiles where profile_id = $profile_id", of)
        if not rows:
            raise CommandError(
                f"{profile} is known as {found[0]}, but has no profile of the newest day: no event within `activity_days`"
            )
        told: dict[str, Any] = {
            "tags": serving.dicts("select * from profiles.tags where profile_id = $profile_id order by tag", of),
            "scores": serving.dicts(
                "select * from profiles.scores where profile_id = $profile_id order by model, class", of
            ),
            "recommendations": serving.dicts(
                "select * from applications.recommendations where profile_id = $profile_id order by rank", of
            ),
            "aliases": [
                r["alias_id"]
                for r in serving.dicts(
                    "select alias_id from cleaned.identities where profile_id = $profile_id order by alias_id", of
                )
            ],
        }
        if as_json:
            _print_json({"profile": rows[0], **told})
            return
        segment = next((s for s in told["scores"] if s["class"] == rows[0]["segment"]), None)
        traits = (
            serving.dicts(
                "select * from models.segment_traits where model = $m and week = $w and segment = $s",
                {"m": segment["model"], "w": segment["week"], "s": segment["class"]},
            )
            if segment
            else []
        )
        titles = {
            r["item_id"]: r["title"]
            for r in serving.dicts(
                "select item_id, title from cleaned.items where valid_to is null and title is not null"
            )
        }
        out.print(render_card(rows[0], titles=titles, traits=traits, **told))


@app.command()
def audience(
    name: Annotated[str, typer.Argument(help="an entry of `audiences:`")],
    count: Annotated[bool, typer.Option("--count", help="how many people are in it")] = False,
    export: Annotated[str | None, typer.Option("--export", help="csv or jsonl, to standard output")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Count or export the people of an audience."""
    import difflib

    from profile_pipeline.applications.exports import as_csv, as_jsonl
    from profile_pipeline.warehouse.reading import Serving

    settings, paths = _opened(config, data)
    if name not in settings.audiences:
        near = difflib.get_close_matches(name, settings.audiences, n=3) or list(settings.audiences)
        raise CommandError(f"found the audience {name!r}, expected one of {', '.join(near)}")
    with Serving(paths.serving) as serving:
        rows = serving.dicts(
            "select as_of_date, audience, profile_id, user_ids from applications.audiences where audience = $name order by profile_id",
            {"name": name},
        )
    if export is None or count:
        out.print(
            f"{len(rows):,} people in {name}" + (f" as of {rows[0]['as_of_date']}" if rows else ""), highlight=False
        )
        return
    formats = {"csv": as_csv, "jsonl": as_jsonl}
    if export not in formats:
        raise CommandError(f"found the format {export!r}, expected csv or jsonl")
    sys.stdout.write(formats[export](rows, ("as_of_date", "audience", "profile_id", "user_ids")))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="one SELECT")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Ask the warehouse, under the lease; nothing can be written."""
    from profile_pipeline.orchestration.resources import open_warehouse

    settings, paths = _opened(config, data)
    if not paths.warehouse.exists():
        raise CommandError(f"{paths.warehouse} is not there. Run `profile-pipeline run` first.")
    warehouse = open_warehouse(settings, paths, owner="profile-pipeline sql", say=say)
    try:
        rows = warehouse.read_only(query)
    finally:
        warehouse.close()
    if as_json:
        _print_json(rows)
        return
    table = Table(*(rows[0] if rows else ["no row"]))
    for row in rows:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    out.print(table)


@app.command()
def doctor(as_json: JsonOption = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Name what is wrong, with one command each, and the last ten files."""
    from profile_pipeline.orchestration.doctor import examine

    paths = Paths.from_environment(config=config, data=data)
    findings, files = examine(paths)
    if as_json:
        _print_json({"findings": [f.__dict__ for f in findings], "files": files})
    else:
        for finding in findings:
            out.print(
                f"[{'green' if finding.is_ok else 'red'}]{'ok  ' if finding.is_ok else 'bad '}[/] {finding.what}",
                highlight=False,
            )
            if finding.remedy:
                out.print(f"     {finding.remedy}", style="dim", highlight=False, markup=False)
        if files:
            table = Table("file", "status", "loaded", "waiting", title="the last ten files", title_justify="left")
            for f in files:
                table.add_row(f["path"], f["status"], f"{f['n_loaded']:,}", f"{f['n_waiting']:,}")
            out.print(table)
    raise typer.Exit(0 if all(f.is_ok for f in findings) else 1)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False, data: DataOption = None) -> None:
    """Remove everything under the data folder: warehouse, archive, landing, reports, runs."""
    from profile_pipeline.warehouse.lease import holder_of

    paths = Paths.from_environment(data=data)
    parts = [
        p
        for p in (paths.landing, paths.archive, paths.truth, paths.reports, paths.exports, paths.dagster_home)
        if p.exists()
    ]
    parts += sorted(p for p in paths.data.glob("*.duckdb*")) if paths.data.is_dir() else []
    if not parts:
        out.print(f"nothing to remove in {paths.data}")
        return
    holder = holder_of(paths.warehouse.with_suffix(".duckdb.lease"))
    if holder:
        raise CommandError(f"the warehouse is in use by {holder}. Stop it first.")
    for part in parts:
        n_files = sum(1 for p in part.rglob("*") if p.is_file()) if part.is_dir() else 1
        out.print(f"{part}  ({n_files} files)", highlight=False)
    if not yes and not typer.confirm("Remove all of this for good?"):
        raise typer.Exit(1)
    for part in parts:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    out.print("removed")


if __name__ == "__main__":
    main()
