import ast
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from profile_pipeline import settings, source_settings
from profile_pipeline.cleaned.reasons import OF_EVENTS
from profile_pipeline.features.tables import SUMMED_MEASURES, WINDOWS
from profile_pipeline.profiles.tags import FACT_COLUMNS, RULE_COLUMNS
from profile_pipeline.raw.readers.read import _REASON_OF_TYPE
from profile_pipeline.raw.readers.reasons import OF_FILES, OF_RECORDS
from profile_pipeline.raw.roles import COUNT_OF_ROLE, ROLES
from profile_pipeline.raw.tables import RECORD_TABLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "your-data.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "The whole file": settings.Settings,
    "calendar": settings.CalendarSettings,
    "sources.NAME": source_settings.SourceSettings,
    "sources.NAME.columns.categories": source_settings.ListSettings,
    "bots": settings.BotSettings,
    "features": settings.FeatureSettings,
    "models.NAME with task: attribute": settings.AttributeModelSettings,
    "models.NAME with task: outcome": settings.OutcomeModelSettings,
    "models.NAME with task: segments": settings.SegmentModelSettings,
    "training": settings.TrainingSettings,
    "recommendations": settings.RecommendationSettings,
    "tags.NAME": settings.TagSettings,
    "tags.NAME.rules": settings.TagRule,
    "audiences.NAME": settings.AudienceSettings,
}


def default_of(section: type[BaseModel], name: str) -> str:
    """A default as the page shows it."""
    field = section.model_fields[name]
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if isinstance(value, BaseModel):
        return "as below"
    if value is None or value in ((), {}, ""):
        return "none"
    if value is True or value is False:
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return ", ".join(f"`{key}: {part:g}`" for key, part in value.items())
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    return "`" + str(value).replace("|", "\\|") + "`"


def table_below(title: str) -> dict[str, list[str]]:
    """The rows of the first table below a heading: first cell -> the others."""
    text = re.split(r"\n#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1)[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_setting_is_told_with_its_default(title: str) -> None:
    section = SECTIONS[title]
    told = table_below(title)
    assert list(told) == list(section.model_fields)
    assert {name: cells[0] for name, cells in told.items()} == {name: default_of(section, name) for name in told}
    assert all(cells[1] for cells in told.values())


def test_every_section_of_the_settings_is_on_the_page() -> None:
    found = {**vars(source_settings), **vars(settings)}.values()
    sections = {c for c in found if isinstance(c, type) and issubclass(c, source_settings.Section)}
    assert sections - {source_settings.Section} == set(SECTIONS.values())


def test_every_reason_is_told_as_the_code_tells_it() -> None:
    for title, reasons in (("Records", OF_RECORDS), ("Files", OF_FILES), ("What does not count", OF_EVENTS)):
        told = {
            reason: tuple(cell.replace("\\|", "|") for cell in cells) for reason, cells in table_below(title).items()
        }
        assert told == reasons


def test_every_reason_that_a_reader_gives_is_known() -> None:
    """Reasons are literals: the second argument of `rejects.add`, the first of `FileRefused`."""
    found = set()
    for path in (ROOT / "profile_pipeline" / "raw" / "readers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name, place = ast.unparse(node.func), 0 if ast.unparse(node.func).endswith("FileRefused") else 1
                if name.endswith(("FileRefused", "rejects.add")) and isinstance(node.args[place], ast.Constant):
                    found.add(node.args[place].value)
    assert len(found) > 10
    assert found <= OF_RECORDS.keys() | OF_FILES.keys()
    needed = {"event_id", *(column for columns in source_settings.KEY_COLUMNS.values() for column in columns)}
    assert {f"missing_{column}" for column in needed} | set(_REASON_OF_TYPE.values()) <= OF_RECORDS.keys()


def test_every_reason_for_which_an_event_does_not_count_is_known() -> None:
    text = (ROOT / "profile_pipeline" / "cleaned" / "excluded_events.sql").read_text(encoding="utf-8")
    assert set(re.findall("then '([a-z_]+)'", text)) == OF_EVENTS.keys()


def test_every_role_and_every_column_of_ours_is_told() -> None:
    assert list(table_below("Roles")) == list(ROLES)
    assert {
        role: cells[0].strip("`") for role, cells in table_below("Roles").items() if role != "other"
    } == COUNT_OF_ROLE
    columns = table_below("Our columns")
    for name, table in RECORD_TABLES.items():
        ours = [
            c
            for c in table.column_names
            if c not in source_settings.GIVEN_BY_LOADING and c not in ("attributes", "properties")
        ]
        assert re.findall(r"`(\w+)`", columns[name][0]) == ours


def test_every_column_that_a_rule_may_read_is_told() -> None:
    text = PAGE.split("# Columns for tags", 1)[1].split("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", text))
    measures = {name for name in told if name in SUMMED_MEASURES or name in ("n_active_days", "n_night_events")}
    told |= {f"{measure}_{window}" for measure in measures for window in WINDOWS}
    assert set(RULE_COLUMNS) | set(FACT_COLUMNS) <= told
