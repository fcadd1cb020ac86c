"""People with attributes and a label, and nothing else: from one CSV to tags of those whose label nobody knows."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.test_end_to_end import CHECK

N_PEOPLE, N_BLANK = 1_500, 200
CONFIG = """
calendar: {start: 2026-01-05, end: 2026-01-12, timezone: UTC}
stable_seconds: 0
sources:
  people:
    table: users
    path: "*.csv"
    format: csv
    columns: {user_id: id, city: town}
    attributes: all
features: {attributes: [pay, after, left], categories: [plan, city, left]}
training: {algorithms: [logistic_regression, decision_tree_gini], n_bootstrap: 50}
models:
  leaves: {task: attribute, label: attributes.left, leave_out: [after]}
  leaves_later: {task: attribute, label: attributes.left, time: since, leave_out: [after]}
  leaves_known_after: {task: attribute, label: attributes.left}
  groups: {task: segments, k_min: 2, k_max: 3, features: [attribute_pay, "crm:plan=short"]}
tags:
  leaves: {fact: attributes.left, predicted: leaves, min_confidence: 0.5}
  group: {predicted: groups, min_confidence: 0.0}
audiences:
  leaving: {where: "leaves = '1'"}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who leaves depends on pay and plan; `after` is known only once they have left; in the last fifth of the days pay tells nothing."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(4)
    pay, is_short = rng.normal(size=N_PEOPLE), rng.random(N_PEOPLE) < 0.5
    is_late = np.arange(N_PEOPLE) >= 0.8 * N_PEOPLE
    odds = np.where(is_late, 0, 1.5 * pay) + 1.5 * is_short - 0.7
    left = rng.random(N_PEOPLE) < 1 / (1 + np.exp(-odds))
    lines = ["id,town,pay,plan,after,since,left"]
    for i in range(N_PEOPLE):
        day = f"2025-{1 + i * 12 // N_PEOPLE:02d}-{1 + i % 28:02d}"
        known = "" if i % (N_PEOPLE // N_BLANK) == 0 and not is_late[i] else int(left[i])
        lines.append(
            f"c{i:04d},{'AB'[i % 2]},{pay[i]:.4f},{'short' if is_short[i] else 'long'},{left[i] * 9},{day},{known}"
        )
    (folder / "landing").mkdir()
    (folder / "landing" / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "profile.yaml").write_text(CONFIG, encoding="utf-8")
    paths = Paths(config=folder / "profile.yaml", data=folder)
    runner = Runner(load_checked(paths), paths, lambda _: None)
    runner.ingest()
    runner.build_all()
    runner.instance.dispose()
    return folder


def rows(data: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_everybody_of_the_crm_has_a_profile_and_those_without_a_label_a_predicted_tag(data: Path) -> None:
    newest = "as_of_date = date '2026-01-12'"
    assert rows(data, f"select count(*) from profiles.user_profiles where {newest}") == [(N_PEOPLE,)]
    kinds = dict(rows(data, f"select kind, count(*) from profiles.tags where tag = 'leaves' and {newest} group by 1"))
    n_blank = rows(data, "select count(*) from cleaned.users where json_extract_string(attributes, '$.left') is null")[
        0
    ][0]
    assert n_blank > 100
    assert kinds == {"fact": N_PEOPLE - n_blank, "predicted": n_blank}


def test_no_model_reads_its_own_label_or_what_it_is_to_leave_out(data: Path) -> None:
    read = {
        model: set(names)
        for model in ("leaves", "leaves_later", "leaves_known_after")
        for (names,) in rows(data, f"select feature_names from models.{model} where is_chosen")
    }
    assert read["leaves"] == {"attribute_pay", "crm:plan=long", "crm:plan=short"}
    assert not {name for names in read.values() for name in names if "left" in name}
    assert {model for model, names in read.items() if "attribute_after" in names} == {"leaves_known_after"}


def auc(data: Path, model: str, split: str) -> float:
    sql = f"select m.value from evaluation.metrics as m join models.{model} as c on c.week = m.week and c.algorithm = m.algorithm and c.is_chosen where m.model = '{model}' and m.split = '{split}' and m.metric = 'roc_auc'"
    return rows(data, sql)[0][0]


def test_the_last_fifth_by_time_judges_and_sees_what_people_at_random_hide(data: Path) -> None:
    assert {s for (s,) in rows(data, "select distinct split from evaluation.metrics where model = 'leaves'")} == {
        "validation", "test",
    }  # fmt: skip
    assert auc(data, "leaves_later", "future") < auc(data, "leaves_later", "test") - 0.05
    assert auc(data, "leaves_known_after", "test") > 0.99
    (reason,) = rows(data, "select reason from evaluation.gates where model = 'leaves_later'")[0]
    assert reason.startswith("roc_auc on future")


def test_a_training_set_of_people_without_events_holds_what_the_crm_says(data: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("person,time,label\nc0001,2026-01-11,1\nnobody,2026-01-11,0\n", encoding="utf-8")
    out = tmp_path / "x.parquet"
    command = ["training-set", str(labels), "--out", str(out), "--config", str(data / "profile.yaml"), "--data", str(data)]  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "profile_pipeline.cli", *command], capture_output=True, text=True, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with duckdb.connect(":memory:") as connection:
        found = connection.execute(
            f"select person, profile_id is null, attribute_pay is null from '{out}' order by 1"
        ).fetchall()
    assert found == [("c0001", False, False), ("nobody", True, True)]


@pytest.mark.skipif(not CHECK.exists(), reason="the conformance check lies beside the project and is not here")
def test_the_database_keeps_the_contract(data: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECK), str(data / "profile.duckdb"), "--serving", str(data / "serving.duckdb"), "--config", str(data / "profile.yaml"), "--json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert [c for c in json.loads(done.stdout)["checks"] if c["status"] == "FAILS"] == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("leave_out: [aftr]", "models.leaves.leave_out: found 'aftr', expected a feature; did you mean after"),
        ('leave_out: [after], time: "it\'s"', "models.leaves.time"),
    ],
)
def test_a_name_that_is_no_feature_stops_the_configuration(tmp_path: Path, wrong: str, told: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(CONFIG.replace("leave_out: [after]", wrong, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"models\.leaves") as error:
        load_checked(Paths(config=path, data=tmp_path))
    assert told in str(error.value)
