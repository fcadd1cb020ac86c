import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.paths import Paths
from profile_pipeline.shell import word
from profile_pipeline.warehouse.faults import explained
from profile_pipeline_tests.conftest import ROOT

HOSTILE = [
    "a b",
    "a;touch PWNED",
    "$(touch PWNED)",
    "`touch PWNED`",
    "it's",
    'a"b',
    "a&&b|c>d",
    "*",
    "~",
    "#a",
    "加 购",
]
EVENTS = "ts,action,uid\n" + "".join(f"2026-01-{1 + i:02d},view,u{i % 7}\n" for i in range(28))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_word_is_one_line_that_nothing_in_it_leaves(text: str) -> None:
    told = word(text)
    assert told.isprintable()
    if not told.startswith("$'"):
        assert shlex.split(told) == [text]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    "name", [*HOSTILE, "a\nb", "a\x1b[31mb", "a\u202eb", "a\\\x07'b", "latin-\udce91", "-rf", "\x01-9"]
)
def test_a_shell_reads_a_word_as_the_very_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("found")
    done = subprocess.run(["bash", "-c", f"cat {word(Path(name))}"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("found", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_every_command_that_a_message_names_is_the_same_words_in_a_shell_whatever_paths_are_called(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    file, config, data = folder / f"{name}.csv", folder / "profile.yaml", folder / "data"
    file.write_text(EVENTS)
    added = CliRunner().invoke(
        app, ["sources", "add", str(file), "--name", "web", "--yes", "--config", str(config), "--data", str(data)]
    )
    landing = data / "landing" / "web"
    told = [shlex.split(line) for line in added.output.partition("next:\n")[2].splitlines()]
    assert told == [
        ["mkdir", "-p", str(landing), "&&", "cp", str(file), f"{landing}/"],
        ["profile-pipeline", "run", "--config", str(config), "--data", str(data)],
    ]
    of_folder = CliRunner().invoke(app, ["sources", "add", str(folder)])
    assert shlex.split(str(of_folder.exception).partition("such as ")[2]) == [f"{folder}/*.csv"]
    for said, command in (("disk is full", r"\((df -h .*)\): make"), ("permission denied", r"to: (ls -ld .*) tells")):
        (found,) = re.findall(command, explained(said, data / "profile.duckdb") or "")
        assert shlex.split(found)[-1] == str(data)
    log = (explained("a WAL", data / "profile.duckdb") or "").splitlines()[1]
    assert shlex.split(log) == ["mv", f"{data}/profile.duckdb.wal", f"{data}/profile.duckdb.wal.damaged"]
    left = Paths(config=ROOT / "profile.yaml", data=data).rebuilding
    left.mkdir(parents=True)
    remedies = [f.remedy for f in examine(Paths(config=ROOT / "profile.yaml", data=data)).findings]
    assert [shlex.split(r.partition("to stay: ")[2]) for r in remedies if "rm -r" in r] == [["rm", "-r", str(left)]]
