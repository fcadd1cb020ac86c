"""The pictures of the READMEs, taken from a running UI on the finished demo: `make pictures`.

It works on a copy, in which what the demo leaves out for time (older weeks and the profiles of their days) is built as well. Not
here: the UI and the browser (`ui_process`).
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ui_process import Ui, browser, until
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 300_000
# The panel takes width that the graph needs; that it is hidden is remembered, so the page is opened twice.
HIDE_NAVIGATION = "[...document.querySelectorAll('*')].filter(e => e.innerText === 'Hide navigation').at(-1)?.click()"
PRESS = "const b = [...document.querySelectorAll('button')].filter(b => b.innerText === arguments[0]).at(-1); b.click(); b.scrollIntoView()"


@dataclass(frozen=True)
class Picture:
    """What is taken: where, what stands there when it is drawn, and what is done before."""

    name: str
    address: str
    words: tuple[str, ...]
    size: tuple[int, int]
    first: str = ""
    pressed: tuple[str, ...] = ()
    awaited: str = ""


PICTURES = (
    Picture("lineage", "/asset-groups", ("raw", "applications"), (2300, 1000), first=HIDE_NAVIGATION),
    Picture("asset", "/assets/features/behavior", ("recency_days",), (1500, 950)),
    Picture("plots", "/assets/features/user_days", ("n_views",), (1500, 950), pressed=("Plots", "Events"), awaited="canvas"),
    Picture("partitions", "/locations/profile_pipeline/jobs/daily/partitions", ("2026-03-30",), (1500, 1150), pressed=("Show per-asset status",)),
    Picture("report", "/reports/{week}/#churn", ("churn",), (1300, 1000)),
    Picture("dictionary", "/reports/dictionary.html#profiles.user_profiles.n_orders_all", ("raw.events.order_id",), (1400, 800)),
)  # fmt: skip


def main() -> None:
    """Take all pictures, or those that are named."""
    wanted = [picture for picture in PICTURES if not sys.argv[1:] or picture.name in sys.argv[1:]]
    paths = Paths.from_environment()
    calendar = load_settings(paths.config).calendar
    weeks = sorted(path.parent.name for path in paths.reports.glob("*/index.html"))
    if not weeks or not calendar.end:
        sys.exit(f"{paths.reports} holds no finished demo: make demo")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.copytree(paths.data, data)
        span = ["--from", str(calendar.start), "--to", str(calendar.end)]
        subprocess.run(
            [sys.executable, "-m", "profile_pipeline.cli", "run", *span, "--data", str(data)], check=True, cwd=ROOT
        )
        ui = Ui(data, paths.config)
        try:
            ui.start()
            for picture in wanted:
                take(picture, ui.url + picture.address.format(week=weeks[-1]))
            ui.stop()
        finally:
            ui.kill()
    large = [path.name for path in FOLDER.glob("*.png") if path.stat().st_size > MOST_BYTES]
    if large:
        sys.exit(f"larger than {MOST_BYTES:,} bytes: {', '.join(large)}")


def take(picture: Picture, url: str) -> None:
    """Open a page, wait until its words stand there and nothing moves any more, and keep what is seen."""
    path = FOLDER / f"{picture.name}.png"
    with browser(width=picture.size[0], height=picture.size[1]) as page:
        for script in (picture.first, "") if picture.first else ("",):
            page.get(url)
            until(
                lambda: all(word in text_of(page) for word in picture.words), 90, f"{url} does not show {picture.words}"
            )
            still(page.get_screenshot_as_png)
            page.execute_script(script)
        for label in picture.pressed:
            page.execute_script(PRESS, label)
            still(page.get_screenshot_as_png)
        if picture.awaited:
            until(lambda: page.find_elements("css selector", picture.awaited), 90, f"{url} does not draw")
        path.write_bytes(still(page.get_screenshot_as_png))
    shrink(path)
    sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes\n")


def text_of(page: Any) -> str:
    with contextlib.suppress(Exception):
        return str(
            page.execute_script(
                "return document.body.innerText + [...document.querySelectorAll('svg text')].map(e => e.textContent).join(' ')"
            )
        )
    return ""


def still(picture: Callable[[], bytes]) -> bytes:
    """Return a picture that has been the same for two seconds, or the last after thirty."""
    last, since, end = picture(), time.monotonic(), time.monotonic() + 30
    while time.monotonic() < end and time.monotonic() - since < 2:
        time.sleep(0.5)
        now = picture()
        if now != last:
            last, since = now, time.monotonic()
    return last


def shrink(path: Path) -> None:
    """Keep 255 colours: a page has few, and a third of the bytes is enough for them."""
    from PIL import Image

    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(255, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
