"""Audiences from `audiences:`: people whose tags fulfil a condition, tags standing as columns.

Here the query is written. Not here: tags, or what an audience is used for.
"""

from collections.abc import Iterable, Mapping

from sqlglot import exp

from profile_pipeline.applications.tables import AUDIENCES
from profile_pipeline.profiles.conditions import ConditionError, parse_condition
from profile_pipeline.settings import AudienceSettings
from profile_pipeline.table import quote_identifier


def check_audiences(audiences: Mapping[str, AudienceSettings], tags: Iterable[str]) -> list[str]:
    """Return the faults of all audiences: unknown tags, with the nearest names."""
    known, faults = list(tags), []
    faults += [
        f"tags.{name}: found a tag of this name, expected another: audiences have a column of it"
        for name in known
        if audiences and name in AUDIENCES.column_names
    ]
    for name, audience in audiences.items():
        try:
            parse_condition(audience.where, known, has_quantiles=False)
        except ConditionError as error:
            faults.append(f"audiences.{name}.where: {error}")
    return faults


def audiences_sql(audiences: Mapping[str, AudienceSettings], tags: Iterable[str]) -> str:
    """Return the query of all audiences of the days between $first_day and $last_day; a tag that one has not is null."""
    known = list(tags)
    conditions = {
        name: parse_condition(audience.where, known, has_quantiles=False) for name, audience in audiences.items()
    }
    used = sorted({column for condition in conditions.values() for column in condition.columns})
    columns = "".join(f", max(t.value) filter (where t.tag = {_text(tag)}) as {quote_identifier(tag)}" for tag in used)
    parts = [
        f"select as_of_date, {_text(name)} as audience, profile_id, user_ids from tagged where {c.sql}"
        for name, c in conditions.items()
    ]
    return (
        "with tags as (select * from profiles.tags where as_of_date between $first_day and $last_day),"
        " people as (select as_of_date, profile_id, user_ids from profiles.user_profiles where as_of_date between $first_day and $last_day),"
        f" tagged as (select p.as_of_date, p.profile_id, p.user_ids{columns} from people as p"
        " left join tags as t on t.profile_id = p.profile_id and t.as_of_date = p.as_of_date group by p.as_of_date, p.profile_id, p.user_ids)"
        f" {' union all '.join(parts)}"
    )


def _text(value: str) -> str:
    return exp.Literal.string(value).sql(dialect="duckdb")
