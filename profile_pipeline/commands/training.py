"""The command that hands features to a data scientist's own tools.

Not here: what is computed (`orchestration.training_sets`), or training of the project's own models (`run`).
"""

import difflib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    JsonOption,
    day_of,
    opened,
    out,
    print_json,
    require_warehouse,
    say,
)
from profile_pipeline.settings import OutcomeModelSettings, Settings
from profile_pipeline.wording import counted

COUNTS = {
    "n_asked": "rows asked for",
    "n_outside_days": "  left out: their time lies outside of the days",
    "n_repeated": "  left out: the same as another in all columns",
    "n_written": "rows written",
    "n_unknown_people": "  without features: nobody is called so",
    "n_not_seen_yet": "  without features: not seen before that time",
    "n_inactive": "  without features: no event within activity_days",
    "n_sharing_person_and_day": "  of a person and day that have several rows",
}


def training_set(
    what: Annotated[str, typer.Argument(metavar="OUTCOME|LABELS", help="an outcome of `models:`, or labels.csv, .tsv, .jsonl, .parquet")],
    target: Annotated[Path, typer.Option("--out", help="the Parquet file to write; replaced if it is there")],
    first: Annotated[str | None, typer.Option("--from", help="first day of the rows' times; else the calendar's")] = None,
    last: Annotated[str | None, typer.Option("--to", help="last day of the rows' times; else the calendar's")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:  # fmt: skip
    """Write what was known of people at given times, beside labels: features
    that have not seen the future.

    A label file has the columns person (a user_id, an alias such as
    anonymous:a1, or a profile_id), time, label, and any others, which are
    carried through. A plain date D asks for what was known at the end of D.
    A timestamp within D asks for what was known at the end of the day before,
    because D had not ended yet; without a zone it is of the calendar's.

    Rows whose time lies outside of --from and --to, and rows that are the same
    as another in all columns, are left out. Rows of people who are unknown, not
    seen yet or long inactive are kept with null features. All are counted.

    An outcome gives the people and labels of the week ends that its models are
    trained on and judged by.
    """
    from profile_pipeline.orchestration.building.days import (
        checked_range,
        daily_partitions,
        day_keys,
        ended_weeks,
    )
    from profile_pipeline.orchestration.resources import open_warehouse
    from profile_pipeline.orchestration.training_sets import (
        MEMORY_LIMIT,
        Told,
        ask_cohorts,
        ask_rows,
        write_training_set,
    )
    from profile_pipeline.raw.readers.labels import format_of, read_labels

    settings, paths = opened(config, data)
    known = day_keys(daily_partitions(settings.calendar))
    asked_days = (day_of(first) if first else known[0], day_of(last) if last else known[-1])
    checked_range(*asked_days, known)
    is_file = format_of(what) is not None
    if not is_file:
        _check_outcome(what, settings)
    _check_target(target, Path(what))
    require_warehouse(paths)
    labels = read_labels(Path(what), timezone=settings.calendar.timezone) if is_file else None
    bounded = settings.model_copy(update={"memory_limit": settings.memory_limit or MEMORY_LIMIT})
    warehouse = open_warehouse(bounded, paths, owner="profile-pipeline training-set", say=say, is_read_only=True)
    told = Told()
    try:
        if labels is not None:
            asked = ask_rows(warehouse, settings, labels, asked_days, told)
        else:
            asked = ask_cohorts(warehouse, settings, what, ended_weeks(settings.calendar)[-1], asked_days, told)
        write_training_set(warehouse, settings, asked, target, told, say)
    finally:
        warehouse.close()
    if as_json:
        print_json(told.as_dict() | {"file": str(target)})
        return
    table = Table(show_header=False)
    for name, meaning in COUNTS.items():
        if (n := getattr(told, name)) or not meaning.startswith(" "):
            table.add_row(meaning, f"{n:,}")
    out.print(table)
    for note in told.notes:
        out.print(note, highlight=False, markup=False)
    out.print(
        f"{target}: {counted(told.n_features, 'feature')} as of {told.first_day} to {told.last_day}",
        highlight=False,
        markup=False,
    )


def _check_outcome(name: str, settings: Settings) -> None:
    outcomes = [model for model, of in settings.models.items() if isinstance(of, OutcomeModelSettings)]
    if name not in outcomes:
        near = difflib.get_close_matches(name, outcomes, n=3) or outcomes
        raise CommandError(
            f"found {name!r}, expected an outcome of `models:` ({', '.join(near) or 'there is none'}) or a file of labels that ends in"
            " .csv, .tsv, .jsonl or .parquet"
        )


def _check_target(target: Path, labels: Path) -> None:
    if target.suffix != ".parquet" or not target.absolute().parent.is_dir():
        raise CommandError(f"found --out {target}, expected a file that ends in .parquet in a folder that is there")
    if target.absolute() == labels.absolute():
        raise CommandError(f"found --out {target}, expected another file than that of the labels")
