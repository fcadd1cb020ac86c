"""Commands that look: a person's card, an audience, a query.

Not here: what is published for them (`applications.publish`).
"""

import difflib
import sys
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    JsonOption,
    cell,
    opened,
    out,
    print_json,
    require_warehouse,
    say,
)
from profile_pipeline.paths import Paths
from profile_pipeline.wording import counted


def show(
    profile: Annotated[str, typer.Argument(help="profile_id, alias such as user:42, user_id, or e-mail address")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show one person: who, what they do and need, segment, tags with their reasons, recommendations."""
    from profile_pipeline.profiles.card import render_card
    from profile_pipeline.profiles.lookup import CANDIDATES, NEAR, aliases_of
    from profile_pipeline.warehouse.reading import Serving

    with Serving(Paths.from_environment(data=data).serving) as serving:
        asked = {"name": profile, "aliases": aliases_of(profile)}
        found = [row["profile_id"] for row in serving.dicts(CANDIDATES, asked)]
        if not found:
            near = ", ".join(row["alias_id"] for row in serving.dicts(NEAR, {"name": profile}))
            raise CommandError(
                f"found nobody called {profile!r}, expected a profile_id, an alias such as user:42, a user_id, or an e-mail address"
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
            print_json({"profile": rows[0], **told})
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


def audience(
    name: Annotated[str, typer.Argument(help="an entry of `audiences:` in profile.yaml")],
    count: Annotated[
        bool, typer.Option("--count", help="say how many people are in it; also without this option")
    ] = False,
    export: Annotated[
        str | None, typer.Option("--export", help="write its people as csv or jsonl to standard output")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Count the people of an audience, or export them."""
    from profile_pipeline.applications.exports import as_csv, as_jsonl
    from profile_pipeline.warehouse.reading import Serving

    settings, paths = opened(config, data)
    if name not in settings.audiences:
        near = difflib.get_close_matches(name, settings.audiences, n=3) or list(settings.audiences)
        expected = f"expected one of {', '.join(near)}" if near else f"and {paths.config} has no audiences:"
        raise CommandError(f"found the audience {name!r}, {expected}")
    with Serving(paths.serving) as serving:
        rows = serving.dicts(
            "select as_of_date, audience, profile_id, user_ids from applications.audiences where audience = $name order by profile_id",
            {"name": name},
        )
    if export is None or count:
        out.print(
            f"{counted(len(rows), 'person', 'people')} in {name}" + (f" as of {rows[0]['as_of_date']}" if rows else ""),
            highlight=False,
        )
        return
    formats = {"csv": as_csv, "jsonl": as_jsonl}
    if export not in formats:
        raise CommandError(f"found the format {export!r}, expected csv or jsonl")
    sys.stdout.write(formats[export](rows, ("as_of_date", "audience", "profile_id", "user_ids")))


def sql(
    query: Annotated[str, typer.Argument(help="one SELECT")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Query all tables and their history; nothing can be written. Waits while a run writes."""
    from profile_pipeline.orchestration.resources import open_warehouse

    settings, paths = opened(config, data)
    require_warehouse(paths)
    warehouse = open_warehouse(settings, paths, owner="profile-pipeline sql", say=say, is_read_only=True)
    try:
        rows = warehouse.read_only(query)
    finally:
        warehouse.close()
    if as_json:
        print_json(rows)
        return
    table = Table(*(Column(cell(name)) for name in (rows[0] if rows else ["no row"])))
    for row in rows:
        table.add_row(*(cell("" if v is None else str(v)) for v in row.values()))
    out.print(table)
