"""Everything that the documents name exists: assets, columns, functions, tests, files, settings, commands with their options.

What is written as code is resolved: `stage.table` against the definitions, [`name`](file.py) against what that file defines, a
command against the Makefile or the command line. Not here: whether what a sentence says is true.
"""

import ast
import functools
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from profile_pipeline.cli import app
from profile_pipeline.orchestration.building.days import REFRESH_TAG, STALE_TAG
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.flow_chart import BEGIN, END, shipped_specs
from profile_pipeline.paths import Paths
from profile_pipeline.settings import (
    AttributeModelSettings,
    AudienceSettings,
    OutcomeModelSettings,
    SegmentModelSettings,
    Settings,
    TagRule,
    TagSettings,
)
from profile_pipeline.settings_file import load_settings
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline_tests.conftest import ROOT

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "data/*.md", "recipes/*/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
STAGES = ("raw", "cleaned", "features", "models", "evaluation", "profiles", "applications")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|`[^`]*`)*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
ASSET = re.compile(rf"(?<![\w./:-])({'|'.join(STAGES)})\.([a-z]\w*)(?:\.([a-z]\w*))?(?![\w/(])")
REPOSITORY_PATH = re.compile(
    r"(?<![\w./-])((?:profile_pipeline|profile_pipeline_tests|docs|benchmarks|recipes|\.ci)/[\w./-]+)"
)
SUFFIXES = ("py", "sql", "md", "yaml", "html", "ipynb", "csv", "json", "jsonl", "parquet", "txt", "dat", "gz", "zst")
TAGS = (REFRESH_TAG, STALE_TAG)
# Of the article, not of this project: what it calls by a name, and what it has a reader type.
OF_THE_ARTICLE = frozenset(
    {
        "remove_duplicates", "normalize_data", "extract_behavior_features", "extract_interest_features", "extract_demand_features", "select_important_features",
        "evaluate_model", "preprocess_data", "fit", "predict", "random_state=0", "n_init", "pip install python==3.6", "recall_score", "f1_score", "average",
        "criterion='entropy'", "criterion='gini'",
    }
)  # fmt: skip


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """The document without fenced blocks and without the chart that is drawn."""
    return FENCE.sub("", re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", "", text_of(path), flags=re.DOTALL))


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@functools.cache
def columns_by_table() -> dict[str, frozenset[str]]:
    """Columns of every asset of the shipped definitions; the report is a page and has none."""
    tables = {table.name: frozenset(table.column_names) for table in all_tables(load_settings(ROOT / "profile.yaml"))}
    return {name: tables.get(name, frozenset({"page"})) for name in (".".join(s.key.path) for s in shipped_specs(ROOT))}


@functools.cache
def defined_in(path: Path) -> frozenset[str]:
    """Functions, classes, methods, constants and settings that a Python file defines."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


@functools.cache
def setting_paths() -> frozenset[str]:
    """Names of settings as documents write them: `training.folds`, `identical_records`, `min_confidence`."""
    entries: tuple[type[BaseModel], ...] = (
        SourceSettings, AttributeModelSettings, OutcomeModelSettings, SegmentModelSettings, TagSettings, TagRule, AudienceSettings,
    )  # fmt: skip
    found = {name for entry in entries for name in entry.model_fields} | set(Settings.model_fields)
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= {f"{section}.{name}" for name in field.annotation.model_fields} | set(
                field.annotation.model_fields
            )
    return frozenset(found)


@functools.cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))


def asset_faults(text: str) -> list[str]:
    faults = []
    for stage, table, column in ASSET.findall(text):
        name = f"{stage}.{table}"
        columns = columns_by_table().get(name, frozenset())
        if table in SUFFIXES or name in setting_paths():
            continue
        if not columns and not (ROOT / "profile_pipeline" / stage / f"{table}.sql").exists():
            faults.append(f"no asset {name}")
        elif column and column not in columns | (setting_paths() if stage == "models" else frozenset()):
            faults.append(f"no column {column} in {name}")
    return faults


def path_faults(text: str) -> list[str]:
    named = [name.rstrip(".") for name in REPOSITORY_PATH.findall(text)]
    return [f"no file {name}" for name in named if name not in TAGS and not (ROOT / name).exists()]


def command_faults(line: str) -> list[str]:
    """What is wrong with a line that a person would type; a line that starts with none of our commands has no fault."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quote that a later line closes
        words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if not words:
        return []
    program = words[0].rpartition("/")[2]
    if program == "make":
        return [f"no target {word}" for word in words[1:] if "=" not in word and word not in make_targets()]
    if program == "profile-pipeline":
        return command_line_faults(words[1:])
    if program.startswith("python") and words[1:2] == ["-m"]:
        return [] if importlib.util.find_spec(words[2]) else [f"no module {words[2]}"]
    if program == "pytest":
        return [
            f"no test {word}" for word in words[1:] if word.startswith("profile_pipeline_tests") and not is_test(word)
        ]
    return []


def command_line_faults(words: list[str]) -> list[str]:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("--"):
        if words[0] not in command.commands:
            return [f"no command {words[0]}"]
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    return [f"no option {option} of {command.name}" for option in sorted(given - known - {"--help"})]


def is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return (ROOT / path).exists() and (not function or function in defined_in(ROOT / path))


def is_command(line: str) -> bool:
    return bool(re.match(r"(?:[A-Z_]+=\S* )*(?:\S*/)?(?:make|profile-pipeline|python|pytest)(?: |$)", line))


def commands_of(path: Path) -> list[str]:
    blocks = [body for language, body in FENCE.findall(text_of(path)) if language in ("", "bash", "sh", "console")]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in [*lines, *SPAN.findall(prose(path))] if is_command(line)]


def linked(path: Path, target: str) -> Path:
    return (path.parent / target.partition("#")[0]).resolve() if not target.startswith("#") else path


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_of_the_project_and_to_a_heading_in_it(path: Path) -> None:
    faults = []
    for _, _, target in LINK.findall(prose(path)):
        if re.match(r"https?://|mailto:", target):
            continue
        goal = linked(path, target)
        if (
            not goal.exists()
            or not goal.is_relative_to(ROOT)
            or ("#" in target and goal.suffix == ".md" and target.partition("#")[2] not in anchors(goal))
        ):
            faults.append(target)
    assert faults == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_name_that_links_to_a_file_is_defined_in_it(path: Path) -> None:
    faults = []
    for _, text, target in LINK.findall(prose(path)):
        name = text.strip("`")
        goal = linked(path, target)
        if text == f"`{name}`" and goal.suffix == ".py" and name not in {*defined_in(goal), goal.name, name_of(goal)}:
            faults.append(f"{name} is not in {target}")
        if text == f"`{name}`" and goal.suffix == ".sql" and name not in (goal.name, f"{goal.parent.name}.{goal.stem}"):
            faults.append(f"{name} is not {target}")
    assert faults == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_asset_column_and_path_that_is_named_exists(path: Path) -> None:
    code = "\n".join([*SPAN.findall(prose(path)), *(body for _, body in FENCE.findall(text_of(path)))])
    assert asset_faults(code) + path_faults(code) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_command_and_every_option_of_it_exists(path: Path) -> None:
    assert [fault for line in commands_of(path) for fault in command_faults(line)] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("make demmo", "no target demmo"),
        ("profile-pipeline shw u1", "no command shw"),
        (".venv/bin/profile-pipeline run --form 2026-01-01", "no option --form of run"),
        ("python -m benchmarks.nothing", "no module benchmarks.nothing"),
        ("pytest profile_pipeline_tests/test_lock.py::test_of_nothing", "no test profile_pipeline_tests/test_lock.py::test_of_nothing"),
    ],
)  # fmt: skip
def test_a_command_that_is_not_there_is_found(line: str, fault: str) -> None:
    assert is_command(line)
    assert command_faults(line) == [fault]


def test_an_asset_a_column_and_a_path_that_are_not_there_are_found() -> None:
    assert asset_faults("features.behaviour, features.behavior.n_evnts") == [
        "no asset features.behaviour",
        "no column n_evnts in features.behavior",
    ]
    assert path_faults("profile_pipeline/models/nothing.py") == ["no file profile_pipeline/models/nothing.py"]


def test_every_name_in_the_page_on_the_article_is_ours_or_marked_as_the_articles() -> None:
    path = ROOT / "docs" / "article.md"
    body = prose(path)
    linked_names = {text for _, text, _ in LINK.findall(body)}
    unknown = [
        span
        for span in SPAN.findall(body)
        if f"`{span}`" not in linked_names
        and span not in OF_THE_ARTICLE
        and span not in setting_paths()
        and not ASSET.fullmatch(span)
        and not is_command(span)
        and not (ROOT / span).exists()
    ]
    assert unknown == []


def test_the_names_of_the_article_are_no_names_of_ours() -> None:
    ours = frozenset().union(*(defined_in(p) for p in (ROOT / "profile_pipeline").rglob("*.py")))
    invented = {name for name in OF_THE_ARTICLE if name.endswith(("_data", "_duplicates", "_features", "_model"))}
    assert len(invented) == 8
    assert not invented & ours


def test_the_page_on_the_article_stands_in_two_languages_with_the_same_names() -> None:
    _, chinese, english = re.split(r"^# ", text_of(ROOT / "docs" / "article.md"), flags=re.MULTILINE)
    targets = [[goal for _, _, goal in LINK.findall(part) if not goal.startswith("#")] for part in (chinese, english)]
    assert targets[0] == targets[1]
    assert sorted(SPAN.findall(chinese)) == sorted(SPAN.findall(english))
    assert re.findall(r"^#+ ", chinese, re.MULTILINE) == re.findall(r"^#+ ", english, re.MULTILINE)


def shape(path: Path) -> dict[str, list[str]]:
    """What two languages of one document share."""
    text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", "", text_of(path), flags=re.DOTALL)
    return {
        "headings": re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE),
        "commands": [re.sub(r"\s+#.*", "", line) for _, body in FENCE.findall(text) for line in body.splitlines()],
        "inline commands": [span for span in SPAN.findall(FENCE.sub("", text)) if is_command(span)],
        "links": [target for mark, _, target in LINK.findall(text) if not mark and not target.startswith("README")],
        "pictures": [target for mark, _, target in LINK.findall(text) if mark],
        "items": re.findall(r"^(?:-|\d+\.) ", text, re.MULTILINE),
    }


def test_everything_that_lies_in_the_data_folder_is_told_in_its_readme() -> None:
    paths = Paths(config=Path("profile.yaml"), data=Path("data"))
    known = [getattr(paths, name) for name, of in vars(Paths).items() if isinstance(of, property)]
    names = {path.name for path in known if isinstance(path, Path)}
    assert {"landing", "backups", "replaced", "serving.behind", "ui.lock"} <= names
    told = re.findall(r"`([^`]+?)/?`", (ROOT / "data" / "README.md").read_text(encoding="utf-8"))
    assert names - set(told) == set()


def test_the_readmes_have_the_same_sections_commands_links_and_pictures() -> None:
    assert shape(ROOT / "README.zh-CN.md") == shape(ROOT / "README.md")


def test_every_marker_of_the_tests_is_told_in_contributing() -> None:
    tools = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]
    markers = {line.partition(":")[0] for line in tools["pytest"]["ini_options"]["markers"]}
    assert markers == set(re.findall(r"^\| `(\w+)` \|", text_of(ROOT / "CONTRIBUTING.md"), re.MULTILINE))
