"""Tables and a plot of what `run` has measured: `python -m benchmarks.draw` writes them into `benchmarks/README.md` and an SVG file.

Of several results the newest that holds a part at a size is shown, that part whole, with when and at which commit it was
measured. Not here: measuring, or a word about why a figure is what it is.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

BEGIN, END = "<!-- written by `make bench` -->", "<!-- end -->"
README = Path(__file__).parent / "README.md"
PLOT = Path(__file__).parent / "results" / "stages.svg"
ENGINES = {
    "duckdb_sql": "DuckDB SQL by hand", "through_dagster": "the same SQL through Dagster", "polars_frames": "Polars, streaming",
    "pandas_frames": "pandas", "pyspark_frames": "PySpark, local",
}  # fmt: skip
STAGES = ("world", "ingest", "stages")
OTHERS = ("overhead", "memory", "one more day", "definitions", "small files", "training set", "days")
Sizes = dict[int, dict[str, dict[str, dict[str, Any]]]]


def newest(folder: Path) -> tuple[Sizes, dict[str, Any], dict[tuple[int, str], str]]:
    """Return by size and part the newest figures, the machine of the newest result, and of what time, commit and other machine each part is."""
    sizes: Sizes = {}
    taken: dict[tuple[int, str], str] = {}
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    machine = results[-1]["machine"] if results else {}
    for result in results:
        when = result["begun_at"][:16].replace("T", " ")
        when += f" at {result['commit']}" if result.get("commit") else ""
        when += "" if _computer(result["machine"]) == _computer(machine) else " on another machine"
        for size, parts in result["sizes"].items():
            for part, figures in parts.items():
                sizes.setdefault(int(size), {})[part] = figures
                taken[int(size), part] = when
    return sizes, machine, taken


def _computer(machine: dict[str, Any]) -> str:
    return f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['system']}"


def _when(taken: dict[tuple[int, str], str], *parts: str) -> str:
    """Return the sentence of when the parts of a table were measured."""
    told: dict[str, list[str]] = {}
    for (size, part), when in sorted(taken.items()):
        if part in parts:
            told.setdefault(when, []).append(f"{part} of {size / 1e6:g} M" if len(parts) > 1 else f"{size / 1e6:g} M")
    return "Measured " + "; ".join(f"{when}: {', '.join(what)}" for when, what in sorted(told.items())) + ".\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def stages_of(sizes: Sizes) -> list[str]:
    """Return the stages that were measured at any size, in order."""
    return list(dict.fromkeys(name for _, parts in sorted(sizes.items()) for name in _stages_at(parts)))


def _stages_at(parts: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return {name: figures for part in STAGES for name, figures in parts.get(part, {}).items()}


def points(sizes: Sizes, stage: str) -> list[tuple[int, float]]:
    """Return events and CPU seconds of a stage, where it was measured."""
    measured = ((size, _stages_at(parts).get(stage)) for size, parts in sorted(sizes.items()))
    return [(size, figures["cpu_s"]) for size, figures in measured if figures is not None]


def growth(measured: Sequence[tuple[int, float]]) -> str:
    """Return b of cost = a * events ** b through the first two points, nothing where there is one: larger ones may be of another machine."""
    if len(measured) < 2:
        return ""
    (n_small, small), (n_large, large) = measured[:2]
    return f"{math.log(large / small) / math.log(n_large / n_small):.2f}"


def _stages(sizes: Sizes) -> str:
    ordered = sorted(size for size, parts in sizes.items() if "stages" in parts)
    header = ["stage"]
    for size in ordered:
        header += [f"{size / 1e6:g} M: CPU-s", "wall s", "peak MB", "MB after"]
    rows = []
    for name in stages_of(sizes):
        row = [name]
        for size in ordered:
            f = _stages_at(sizes[size]).get(name)
            row += (
                [""] * 4
                if f is None
                else [f"{f['cpu_s']:.1f}", f"{f['wall_s']:.1f}", f"{f['peak_mb']:.0f}", f"{f['bytes'] / 1e6:.0f}"]
            )
        rows.append([*row, growth(points(sizes, name))])
    between = " to ".join(f"{size / 1e6:g} M" for size in ordered[:2])
    return table([*header, f"growth, {between}"], rows)


def _peers(sizes: Sizes) -> str:
    ordered = sorted(size for size, parts in sizes.items() if "peers" in parts)
    header = ["engine", *(f"{size / 1e6:g} M: {what}" for size in ordered for what in ("CPU-s", "peak MB"))]
    rows = []
    for name, title in ENGINES.items():
        found = [sizes[size]["peers"].get(name) for size in ordered]
        cells = [c for f in found for c in (["", ""] if f is None else [f"{f['cpu_s']:.1f}", f"{f['peak_mb']:.0f}"])]
        rows.append([title, *cells])
    return table(header, rows)


def _ratios(sizes: Sizes) -> str:
    rows: list[list[str]] = []
    for size, parts in sorted(sizes.items()):
        at = f"{size / 1e6:g} M"
        if len(parts.get("overhead", {})) == 2:
            through, bare = parts["overhead"]["through Dagster"], parts["overhead"]["bare"]
            spent = through["cpu_s"] - through["publish_cpu_s"]
            told = f"{spent:.1f} / {bare['cpu_s']:.1f} CPU-s; events written {through['event_writing_cpu_s']:.1f}, reports and checks {bare['reports_cpu_s']:.1f}"
            rows.append(
                [
                    f"{at}: cleaned to newest features through Dagster / the same SQL bare",
                    told,
                    f"{spent / bare['cpu_s']:.2f}",
                ]
            )
        for name, f in parts.get("memory", {}).items():
            rows.append(
                [f"{at}: cleaned to newest features, {name}", f"{f['cpu_s']:.1f} CPU-s", f"{f['peak_mb']:.0f} MB"]
            )
        for name, f in parts.get("one more day", {}).items():
            late = f"; {f['n_new']:,} events wait, {f['n_late']:,} of older days" if "n_new" in f else ""
            rows.append([f"{at}: one more day, {name}", f"{f['cpu_s']:.1f} CPU-s{late}", f"{f['peak_mb']:.0f} MB"])
        for f in parts.get("definitions", {}).values():
            rows.append(
                ["definitions loaded", f"{f['cpu_s']:.1f} CPU-s, {f['wall_s']:.1f} s", f"{f['peak_mb']:.0f} MB"]
            )
        for f in parts.get("small files", {}).values():
            told = f"{f['cpu_s']:.0f} CPU-s, {f['wall_s']:.0f} s"
            rows.append(
                [
                    f"{f['n_files']:,} files, {f['n_records']:,} records in all, in one run",
                    told,
                    f"{f['peak_mb']:.0f} MB",
                ]
            )
        for f in parts.get("training set", {}).values():
            what = f"{at}: a training set of {f['n_rows']:,} rows and {f['n_columns']} columns, {f['n_features']} of them features"
            rows.append([what, f"{f['cpu_s']:.0f} CPU-s, {f['wall_s']:.0f} s", f"{f['peak_mb']:.0f} MB"])
        days = parts.get("days", {})
        for name, one in days.items():
            each = days.get(name.replace("as one", "one by one"), one)
            if each is not one:
                told = f"{each['cpu_s']:.1f} / {one['cpu_s']:.1f} CPU-s"
                what = f"{name.removesuffix(' as one')} of few events, a run a day / one run"
                rows.append([what, told, f"{each['cpu_s'] / one['cpu_s']:.1f}"])
    return table(["what", "found", "ratio or peak"], [*rows, *_memory_of_reading(sizes)])


def _memory_of_reading(sizes: Sizes) -> Iterable[list[str]]:
    """Return a row a format: what a larger file takes in memory beside a smaller one."""
    read = [(size, parts["reading"]) for size, parts in sorted(sizes.items()) if "reading" in parts]
    (n_small, small), (n_large, large) = read[0], read[-1]
    for name in (name for name in small if name.endswith(" ours") and n_large > n_small):
        peaks = small[name]["peak_mb"], large[name]["peak_mb"]
        times = large[name]["bytes"] / small[name]["bytes"]
        what = f"{name.removesuffix(' ours')}: memory for a file {times:.0f} times as large"
        yield [what, f"{peaks[0]:.0f} and {peaks[1]:.0f} MB", f"{peaks[1] / peaks[0]:.2f}"]


def _reading(sizes: Sizes) -> str:
    header = ["file", "records", "refused", "MB", "CPU-s a million", "MB a CPU-s", "peak MB", "bare reader: CPU-s a million", "MB a CPU-s", "peak MB", "ratio"]  # fmt: skip
    rows = []
    for _, parts in sorted(sizes.items()):
        read = parts.get("reading", {})
        for kind in (name.removesuffix(" ours") for name in read if name.endswith(" ours")):
            ours, bare = read[f"{kind} ours"], read[f"{kind} bare"]
            size, n = ours["bytes"] / 1e6, ours["n_records"]
            row = [kind, f"{n:,}", f"{ours['n_rejected']:,}", f"{size:.0f}"]
            for f in (ours, bare):
                row += [f"{f['cpu_s'] / n * 1e6:.1f}", f"{size / f['cpu_s']:.0f}", f"{f['peak_mb']:.0f}"]
            rows.append([*row, f"{ours['cpu_s'] / bare['cpu_s']:.1f}"])
    return table(header, rows)


def _plot(sizes: Sizes) -> None:
    """Draw CPU seconds by number of events, a line a stage, with its exponent."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in stages_of(sizes):
        measured = points(sizes, name)
        label = f"{name} (n^{growth(measured)})" if len(measured) > 1 else name
        axes.plot(*zip(*measured, strict=True), marker="o", label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="events", ylabel="CPU seconds", title="What a stage costs, and how it grows"
    )
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(PLOT, metadata={"Date": None})


def write_pages(folder: Path) -> None:
    """Write the tables between their marks, and the plot."""
    sizes, machine, taken = newest(folder)
    if not any("stages" in parts for parts in sizes.values()):
        return
    loads = [f["load_average"] for parts in sizes.values() for figures in parts.values() for f in figures.values()]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items() if version)
    text = (
        f"\n{_computer(machine)}, Python {machine['python']};"
        f" {libraries}. Load average while measured: {min(loads)} to {max(loads)}: CPU seconds and ratios count, wall times only on an idle machine."
        " Seconds of another time or machine, named below each table, are not to be compared with each other, ratios are.\n\n"
        f"{_stages(sizes)}\n{_when(taken, *STAGES)}\n![growth of the stages](results/{PLOT.name})\n\n"
        f"The reference job, results equal to the row:\n\n{_peers(sizes)}\n{_when(taken, 'peers')}\n"
        f"Loading a file, one record in a thousand damaged, beside DuckDB's own reader told to skip what it can't read:\n\n{_reading(sizes)}\n{_when(taken, 'reading')}\n"
        f"{_ratios(sizes)}\n{_when(taken, *OTHERS)}\n"
    )
    page = README.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN, 1)
    README.write_text(f"{before}{BEGIN}\n{text}{END}{rest.split(END, 1)[1]}", encoding="utf-8")
    _plot(sizes)


if __name__ == "__main__":
    write_pages(Path(__file__).parent / "results")
