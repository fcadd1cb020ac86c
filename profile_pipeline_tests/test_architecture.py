import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "profile_pipeline"
STAGES = ["raw", "cleaned", "features", "models", "evaluation", "profiles", "applications"]
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_orchestration_and_definitions_import_dagster(path: Path) -> None:
    if path.parts[len(PACKAGE.parts)] in ("orchestration", "definitions.py"):
        return
    assert not {name for name in imports_of(path) if name.split(".")[0].startswith("dagster")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_later_stage_and_no_orchestration(stage: str) -> None:
    later = {f"profile_pipeline.{name}" for name in [*STAGES[STAGES.index(stage) + 1 :], "orchestration"]}
    found = {
        (name_of(p), i)
        for p in (PACKAGE / stage).rglob("*.py")
        for i in imports_of(p)
        if any(i == name or i.startswith(f"{name}.") for name in later)
    }
    assert not found


def test_only_the_warehouse_and_known_doors_open_a_database() -> None:
    doors = (
        "warehouse/",
        "raw/readers/",
        "raw/world/",
        "orchestration/building/ingesting.py",
        "cli.py",
    )
    found = {name_of(p) for p in MODULES if "duckdb" in imports_of(p)}
    assert {p for p in found if not p.removeprefix("profile_pipeline/").startswith(doors)} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[len(PACKAGE.parts)] in STAGES], ids=name_of)
def test_no_stage_reads_the_clock_or_the_environment(path: Path) -> None:
    calls = {
        f"{ast.unparse(node.func)}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not {
        c
        for c in calls
        if c.endswith((".now", ".today", ".utcnow")) or c.startswith(("os.environ", "os.getenv", "time.time"))
    }


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_belongs_in_it_and_what_does_not(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert docstring.strip()
    if path.parts[len(PACKAGE.parts)] != "definitions.py":
        assert "not here" in docstring.lower().replace("\n", " "), name_of(path)


def test_no_init_file_holds_code() -> None:
    assert [name_of(p) for p in PACKAGE.rglob("__init__.py") if p.read_text(encoding="utf-8").strip()] == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "orchestration").rglob("*.py")), ids=name_of)
def test_no_orchestration_module_postpones_annotations(path: Path) -> None:
    # Dagster reads the annotations of assets; postponed ones are text to it.
    assert "from __future__ import annotations" not in path.read_text(encoding="utf-8")


def test_nothing_unpickles() -> None:
    assert not {name_of(p) for p in MODULES if imports_of(p) & {"pickle", "joblib", "shelve", "dill", "cloudpickle"}}
