import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.commands.landing_commands import FILES_A_LINE, landing_commands

ORDERS = "order_id,user_id,sku,quantity,price,order_date\n" + "".join(
    f"{i},u{i % 7},s{i % 5},1,5.0,2026-01-{1 + i % 28:02d}\n" for i in range(60)
)
CUSTOMERS = "user_id,gender,age,city\n" + "".join(f"u{i},{'mf'[i % 2]},{20 + i},Paris\n" for i in range(30))


def files(folder: Path, **contents: str) -> list[Path]:
    """Files of a folder by their names without an ending, each with a text of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / f"{name}.csv").write_text(text)
    return sorted(folder.iterdir())


def typed(lines: list[str], folder: Path) -> None:
    subprocess.run(["sh", "-e", "-c", "\n".join(lines)], cwd=folder, check=True, capture_output=True)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_each_group_and_nothing_else_is_put_into_its_landing_folder_by_the_lines_that_are_printed(
    tmp_path: Path,
) -> None:
    orders = dict.fromkeys(("orders_1", "orders 2", "orders;touch PWNED"), ORDERS)
    named = files(tmp_path / "one", **orders, customers=CUSTOMERS) + files(tmp_path / "the other", orders_3=ORDERS)
    (tmp_path / "one" / "apart.csv").write_text("not named to the command")
    options = ["--yes", "--config", str(tmp_path / "profile.yaml"), "--data", str(tmp_path / "data")]
    told = CliRunner().invoke(app, ["sources", "add", *map(str, named), *options]).output
    lines = told.partition("next:\n")[2].splitlines()
    typed(lines[:-1], tmp_path)
    landing = tmp_path / "data" / "landing"
    assert {f.name: {file.name for file in f.iterdir()} for f in landing.iterdir()} == {
        "orders": {*(f"{name}.csv" for name in orders), "orders_3.csv"},
        "customers": {"customers.csv"},
    }
    assert not list(tmp_path.rglob("PWNED*"))


@pytest.mark.parametrize("n_others", [0, 1])
@pytest.mark.parametrize("n", [1, FILES_A_LINE + 1, 90])
def test_many_files_of_a_folder_are_a_wildcard_only_where_it_stands_for_exactly_them(
    n: int, n_others: int, tmp_path: Path
) -> None:
    named = files(tmp_path / "a b", **{f"f{i}": str(i) for i in range(n)})
    files(tmp_path / "a b", **{f"other{i}": "other" for i in range(n_others)})
    (tmp_path / "a b" / ".hidden.csv").write_text("hidden")
    lines = landing_commands(named, tmp_path / "landing")
    assert ("*" in lines[0]) == (n > FILES_A_LINE and not n_others)
    typed(lines, tmp_path)
    assert contents(tmp_path / "landing") == {f"f{i}.csv": str(i) for i in range(n)}


def test_files_of_one_name_from_two_folders_both_land(tmp_path: Path) -> None:
    named = files(tmp_path / "a", x="of a") + files(tmp_path / "b", x="of b", y="of b")
    files(tmp_path / "landing", y="landed before")
    typed(landing_commands(named, tmp_path / "landing"), tmp_path)
    assert contents(tmp_path / "landing") == {
        "x.csv": "of a", "x_2.csv": "of b", "y.csv": "landed before", "y_2.csv": "of b",
    }  # fmt: skip


def test_files_that_have_landed_need_no_command(tmp_path: Path) -> None:
    assert landing_commands(files(tmp_path, x="1"), tmp_path) == []


def test_of_more_files_than_are_looked_at_well_none_goes_missing_or_among_those_of_another_kind(tmp_path: Path) -> None:
    many = {f"o{i:03d}": ORDERS for i in range(130)}
    named = files(tmp_path / "in", **many, o0615=CUSTOMERS)
    options = ["--yes", "--config", str(tmp_path / "profile.yaml"), "--data", str(tmp_path / "data")]
    told = CliRunner().invoke(app, ["sources", "add", *map(str, named), *options]).output
    typed(told.partition("next:\n")[2].splitlines()[:-1], tmp_path)
    landed = [sorted(f.stem for f in kind.iterdir()) for kind in (tmp_path / "data" / "landing").iterdir()]
    assert sorted(landed) == sorted([sorted(many), ["o0615"]])
