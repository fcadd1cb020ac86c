"""docs/results.md: what the recipes make of the real sets, beside what is documented of them. Run by `make results`.

Every number comes from the tables that were just built. Not here: what is asked of them (`sets`).
"""

import argparse
import datetime as dt
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks.measure import commit
from benchmarks.real_data.build import Built, broken_promises, build
from benchmarks.real_data.deliveries import differing, joined, month_of, outcome, week_of
from benchmarks.real_data.sets import ROOT, SETS, named
from profile_pipeline.wording import counted

TARGET = ROOT / "docs" / "results.md"
OPENING = """# What comes of real data

Made by `make results` from the recipes in [`recipes/`](../recipes): each set is landed as files, built by `profile-pipeline run`, and
looked at in its tables: what is found, models and counts come from there. What is documented, and what others reached, was typed in
from where it was published. The sets themselves are not in this repository; each section says who publishes it.

Intervals are of 95 %, by bootstrap over people. `validation` are folds by person within the training people: the algorithm was chosen by
them, so it is a little too good. `test` are people held out, `future` is the time after. The best baseline stands beside each model: shares of the classes, the best single feature,
popularity.
"""


def section(built: Built) -> str:
    """Return the section of a set."""
    s = built.dataset
    cpu = sum(cpu for name, (_, cpu) in built.stages.items() if name != "all")
    lines = [f"## {s.title}", "", f"{s.about} Recipe: [`recipes/{s.name}`](../recipes/{s.name}/profile.yaml).", ""]
    lines += ["| what | documented | found |", "| --- | --- | ---: |"]
    lines += [f"| {fact.name} | {fact.documented or '–'} | {built.found(fact)} |" for fact in s.facts]
    lines += ["", f"What was left out, and why: {left_out(built)}.", ""]
    rows = list(models(built))
    if rows:
        lines += ["| model | algorithm | split | people or rows | metric | found | best baseline | elsewhere |", "| --- | --- | --- | ---: | --- | --- | --- | --- |", *rows, ""]  # fmt: skip
    lines += [
        f"- {model} ({week}): {'passed' if ok else 'not passed'}; {why}." for model, week, ok, why in gates(built)
    ]
    verdict = built.contract
    lines += ["", f"Built in {cpu:.0f} CPU seconds." + (f" Contract of the tables: {verdict}." if verdict else ""), ""]
    return "\n".join(lines)


def left_out(built: Built) -> str:
    """Return what was refused or excluded, with counts."""
    told = [
        f"{counted(n, 'record')} of `{source}` rejected as `{reason}`"
        for source, reason, n in built.rows(
            "select source, reason_code, count(*) from raw.rejected_records group by all order by all"
        )
    ]
    told += [
        f"{counted(n, 'event')} excluded as `{reason}`"
        for reason, n in built.rows(
            "select reason_code, count(*) from cleaned.excluded_events group by all order by all"
        )
    ]
    return "; ".join(told) or "nothing"


def models(built: Built) -> Iterable[str]:
    """Return a row for each reference."""
    for reference in built.dataset.references:
        found = built.metric(reference)
        if found is None:
            yield f"| {reference.model} | – | {reference.split} | – | {reference.metric} | no model | – | {reference.told} |"
            continue
        yield (
            f"| {reference.model} | {found['algorithm']} | {reference.split} | {found['n_rows']:,} | {reference.metric} |"
            f" **{found['value']:.3f}** [{found['ci_low']:.3f}, {found['ci_high']:.3f}] | {found['baseline']} {found['baseline_value']:.3f} | {reference.told} |"
        )


def gates(built: Built) -> list[tuple]:
    """Return the verdicts of the newest week."""
    return built.rows(
        "select model, week, is_passed, reason from evaluation.gates where week = (select max(week) from evaluation.gates) order by model"
    )


def deliveries(folder: Path, n_days: int | None, say: Console) -> tuple[str, list[str]]:
    """Return the section on one history delivered in several ways, and the ways that gave other tables."""
    retail = named("online-retail")
    days = sorted((retail.source / "by-day").glob("*.csv"))[:n_days]
    ways = {
        "all at once, as a backfill": (days, False),
        "by weeks": (joined(days, folder / "weeks", week_of), False),
        "by months": (joined(days, folder / "months", month_of), False),
        "a file a day, through the sensors": (days, True),
    }
    lines = [
        "## One history, delivered in several ways", "",
        f"The {len(days)} days of Online Retail. What is compared: all tables of cleaned, features, profiles, and after training again models and evaluation, all columns but those that say from which file and when a record was read.",
        "", "| delivered | files | tables that differ from the first | rows compared |", "| --- | ---: | --- | ---: |",
    ]  # fmt: skip
    expected: dict[str, tuple[int, str]] = {}
    broken = []
    for number, (way, (files, by_sensors)) in enumerate(ways.items()):
        say.print(f"{way} …")
        data = folder / f"way{number}"
        found = outcome(retail.recipe, data, days, files, by_sensors=by_sensors)
        expected = expected or found
        if others := differing(expected, found):
            broken.append(f"delivered {way}: other {', '.join(others)}")
        told = ", ".join(others) or "none"
        lines.append(f"| {way} | {len(files)} | {told} | {sum(n for n, _ in found.values()):,} |")
        shutil.rmtree(data)
    return "\n".join([*lines, ""]), broken


def main() -> int:
    """Build every set and write the page; return 1 where something is not as it is known to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of sets; the page is then printed, not written")
    parser.add_argument("--days", type=int, help="days of the deliveries; all of them where it is not given")
    arguments = parser.parse_args()
    out, err = Console(highlight=False, markup=False, soft_wrap=True), Console(stderr=True, style="dim")
    wanted = [s for s in SETS if not arguments.only or s.name in arguments.only]
    absent = [s.source for s in wanted if not s.source.is_dir()]
    if absent:
        err.print(f"not there: {', '.join(map(str, absent))}. Get the sets from their publishers and put them there.")
        return 1
    parts, broken = [OPENING], []
    with tempfile.TemporaryDirectory() as name:
        for s in wanted:
            err.print(f"{s.title} …")
            built = build(s, Path(name) / s.name)
            parts.append(section(built))
            broken += broken_promises(built)
        if not arguments.only:
            text, others = deliveries(Path(name) / "deliveries", arguments.days, err)
            parts.append(text)
            broken += others
    packages = ", ".join(f"{p} {version(p)}" for p in ("dagster", "duckdb", "scikit-learn", "lightgbm"))
    parts.append(
        f"Made {dt.datetime.now(dt.UTC).date()} at {commit(ROOT, str(TARGET.relative_to(ROOT)))}; Python {platform.python_version()}, {packages}, {os.cpu_count()} cores.\n"
    )
    page = "\n".join(parts)
    if arguments.only:
        out.print(page)
    else:
        TARGET.write_text(page, encoding="utf-8")
        err.print(f"{TARGET} is written")
    for promise in broken:
        err.print(promise, style="red")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
