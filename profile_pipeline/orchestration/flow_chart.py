"""Draw the path from files to uses into the READMEs, from the definitions: `make chart`.

A test compares what stands there with what is drawn, so the chart can't go on showing assets that are gone. Not here: lineage of
columns (`lineage`), or the rest of the documents.
"""

from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from profile_pipeline.orchestration.build import build_assets, lineage_cache
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings

BEGIN, END = "<!-- drawn by `make chart` -->", "<!-- end of chart -->"
READMES = {"README.md": 0, "README.zh-CN.md": 1}
STAGES = {
    "raw": ("collect", "收集"),
    "cleaned": ("clean", "清洗"),
    "features": ("extract features", "特征提取"),
    "models": ("train", "训练"),
    "evaluation": ("evaluate", "评估"),
    "profiles": ("profile", "画像"),
}
USES = {
    "recommendations": ("recommend", "推荐"),
    "audiences": ("market", "营销"),
    "insights": ("understand", "洞察"),
    "daily_metrics": ("watch", "观察"),
}


def draw(specs: Iterable[dg.AssetSpec], *, language: int) -> str:
    """Return the chart as Mermaid: a node a stage and a use, an edge where an asset of one reads an asset of the other.

    An edge is left out where a longer way leads along others: the chart shows the path, the UI every dependency.
    """
    tables: dict[str, list[str]] = {}
    reads: dict[str, set[str]] = {}
    for spec in specs:
        stage, name = spec.key.path
        node = name if stage == "applications" else stage
        tables.setdefault(node, []).append(name)
        reads.setdefault(node, set()).update(
            dep.asset_key.path[1] if dep.asset_key.path[0] == "applications" else dep.asset_key.path[0]
            for dep in spec.deps
        )
    order = [*STAGES, *USES]
    edges = {(a, b) for b in order for a in reads[b] if a != b and order.index(a) < order.index(b)}

    def is_reached_otherwise(start: str, goal: str) -> bool:
        found, seen = [b for a, b in edges if a == start and b != goal], set()
        while found:
            node = found.pop()
            if node == goal:
                return True
            if node not in seen:
                seen.add(node)
                found += [b for a, b in edges if a == node]
        return False

    lines = ["```mermaid", "graph LR"]
    for node in order:
        title = (STAGES | USES)[node][language]
        schema = node if node in STAGES else "applications"
        listed = "<br/>".join(f"{schema}.{name}" for name in sorted(tables[node]))
        lines.append(f'    {node}["<b>{title}</b><br/>{listed}"]')
    lines += [f"    {a} --> {b}" for a, b in sorted(edges, key=lambda e: (order.index(e[1]), order.index(e[0]))) if not is_reached_otherwise(a, b)]  # fmt: skip
    return "\n".join([*lines, "```"])


def with_chart(text: str, chart: str) -> str:
    """Return a document with the chart between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{chart}\n{END}{after}"


def shipped_specs(root: Path) -> list[dg.AssetSpec]:
    """Return the assets of the shipped configuration."""
    paths = Paths(config=root / "profile.yaml", data=root / "data")
    assets = build_assets(load_settings(paths.config), paths, lineage_cache())
    return [spec for asset in assets for spec in asset.specs]


def main() -> None:
    """Draw the chart into the READMEs of the current folder."""
    specs = shipped_specs(Path.cwd())
    for name, language in READMES.items():
        path = Path(name)
        path.write_text(with_chart(path.read_text(encoding="utf-8"), draw(specs, language=language)), encoding="utf-8")


if __name__ == "__main__":
    main()
