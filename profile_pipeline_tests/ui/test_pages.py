"""What a person sees in the browser, and what a page from elsewhere is refused."""

import contextlib
import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.ui_process import LAUNCH_RUN, LOCATION, Ui, until

# The first test waits for the world and the servers.
pytestmark = [pytest.mark.ui, pytest.mark.timeout(1800)]
STAGES = ("raw", "cleaned", "features", "models", "evaluation", "profiles", "applications")

# Tries what the guard is there for, and puts what came of each try into the title.
ATTACK = """<!doctype html><title>at work</title><script>
const ui = location.search.slice(1), told = {};
const mutation = 'mutation { launchRun(executionParams: {selector: {repositoryLocationName: "profile_pipeline", repositoryName: "__repository__", jobName: "ingest"},'
  + ' mode: "default", runConfigData: {}, executionMetadata: {tags: [{key: "from", value: "elsewhere"}]}}) { __typename } }';
const address = ui + '/graphql?query=' + encodeURIComponent(mutation);
const tries = {
  image: () => new Promise(done => { const i = new Image(); i.onload = () => done('seen'); i.onerror = () => done('refused'); i.src = address; }),
  get: () => fetch(address).then(() => 'seen', () => 'refused'),
  blind_get: () => fetch(address, {mode: 'no-cors'}).then(() => 'sent', () => 'refused'),
  blind_post: () => fetch(address, {mode: 'no-cors', method: 'POST'}).then(() => 'sent', () => 'refused'),
  text_post: () => fetch(ui + '/graphql', {mode: 'no-cors', method: 'POST', headers: {'Content-Type': 'text/plain'}, body: JSON.stringify({query: mutation})}).then(() => 'sent', () => 'refused'),
  json_post: () => fetch(ui + '/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({query: mutation})}).then(() => 'seen', () => 'refused'),
  report: () => fetch(ui + '/report_asset_materialization/raw/events', {mode: 'no-cors', method: 'POST'}).then(() => 'sent', () => 'refused'),
  socket: () => new Promise(done => { const s = new WebSocket(ui.replace('http', 'ws') + '/graphql', 'graphql-ws'); s.onopen = () => done('seen'); s.onerror = () => done('refused'); }),
  frame: () => new Promise(done => { const f = document.createElement('iframe'); f.onload = () => done('sent'); f.src = address; document.body.append(f); }),
};
addEventListener('load', async () => { for (const name in tries) told[name] = await tries[name](); document.title = JSON.stringify(told); });
</script><body></body>"""


def shows(page: Any, url: str, *texts: str, patience_seconds: float = 180) -> str:
    """Open an address and wait until all of the texts stand on the page."""
    page.get(url)

    def body() -> str:
        with contextlib.suppress(Exception):
            found = page.execute_script("return document.body.innerText")
            return found if all(text in found for text in texts) else ""
        return ""

    return until(body, patience_seconds, f"{url} does not show {texts}")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A page of another origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(ATTACK.encode())

        log_message: Callable[..., None] = staticmethod(lambda *_: None)  # type: ignore[assignment]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_a_page_from_elsewhere_changes_nothing_and_sees_nothing(
    page: Any, ui: Ui, elsewhere: str, backfill: str
) -> None:
    page.get(f"{elsewhere}?{ui.url}")
    title = until(lambda: page.title if page.title.startswith("{") else "", 60, "the attack did not end")
    assert '"seen"' not in title
    assert title.count(":") == 9, title
    assert ui.runs(tags=[{"key": "from", "value": "elsewhere"}]) == []
    assert not any(run["jobName"] == "ingest" and run["status"] != "SUCCESS" for run in ui.runs())


def test_the_same_mutation_works_for_who_may_send_it(ui: Ui) -> None:
    params = {
        "selector": {**LOCATION, "jobName": "no_such_job"}, "mode": "default", "runConfigData": {},
        "executionMetadata": {"tags": [{"key": "from", "value": "here"}]},
    }  # fmt: skip
    assert ui.graphql(LAUNCH_RUN, params=params)["launchRun"]["__typename"] == "PipelineNotFoundError"


def test_a_mutation_in_the_address_is_refused(page: Any, ui: Ui) -> None:
    shows(page, f"{ui.url}/graphql?query=mutation%20{{stopRunningSchedule}}", "found a mutation, expected it in a POST")


def test_a_name_that_was_pointed_at_this_machine_is_refused(page: Any, ui: Ui) -> None:
    shows(page, f"http://evil.example:{ui.port}/", "found the host evil.example")


def test_nothing_of_the_data_folder_but_the_reports_is_served(ui: Ui) -> None:
    for path in (
        "/reports/..%2fprofile.duckdb",
        "/reports/%2e%2e/serving.duckdb",
        "/reports/../dagster_home/dagster.yaml",
    ):
        asked = http.client.HTTPConnection("127.0.0.1", ui.port, timeout=30)
        asked.request("GET", path)
        assert asked.getresponse().status == 404
        asked.close()


def test_the_lineage_shows_seven_stages(page: Any, ui: Ui) -> None:
    shows(page, f"{ui.url}/asset-groups", *STAGES)


def test_an_asset_shows_metadata_columns_and_a_link_to_the_dictionary(page: Any, ui: Ui) -> None:
    shows(
        page,
        f"{ui.url}/assets/features/behavior",
        "grain",
        "recency_days",
        "/reports/dictionary.html#features.behavior",
    )


PRESS = """const found = [...document.querySelectorAll('button')].filter(b => b.innerText === arguments[0]).at(-1);
found?.click(); return Boolean(found);"""


def press(page: Any, label: str) -> None:
    """Press the button with this label as soon as it is there."""
    until(lambda: page.execute_script(PRESS, label), 60, f"there is no button {label}")


def test_an_asset_shows_its_rows_by_day_as_a_plot(page: Any, ui: Ui) -> None:
    shows(page, f"{ui.url}/assets/features/behavior", "recency_days")
    press(page, "Plots")
    press(page, "Events")
    until(lambda: page.find_elements("css selector", "canvas"), 60, "no plot is drawn")
    assert "dagster/partition_row_count" in page.execute_script("return document.body.innerText")


def test_the_matrix_of_partitions_shows_the_assets_of_the_daily_job(page: Any, ui: Ui) -> None:
    shows(page, f"{ui.url}/locations/profile_pipeline/jobs/daily/partitions", "2026-03-30")
    press(page, "Show per-asset status")
    seen = until(
        lambda: [t for t in [page.execute_script("return document.body.innerText")] if "user_profiles" in t],
        60, "the matrix is not drawn",
    )[0]  # fmt: skip
    assert "behavior" in seen and "recommendations" in seen


def test_a_check_shows_its_law_and_that_it_passed(page: Any, ui: Ui) -> None:
    shows(
        page,
        f"{ui.url}/assets/cleaned/events?view=checks&checkDetail=event_counts",
        "event_counts",
        "loaded = cleaned + excluded + waiting",
        "Passed",
    )


def test_the_report_of_a_week_opens_with_its_plots(page: Any, ui: Ui) -> None:
    shows(page, f"{ui.url}/reports/2026-03-23/", "Models of the week 2026-03-23", "beats its baseline?")
    assert len(page.find_elements("css selector", ".plots svg")) > 10
    fonts = page.execute_script("return getComputedStyle(document.querySelector('.plots svg text')).fontFamily")
    assert "Noto Sans CJK SC" in fonts and "PingFang SC" in fonts


def test_the_dictionary_draws_where_a_column_comes_from(page: Any, ui: Ui) -> None:
    shows(
        page,
        f"{ui.url}/reports/dictionary.html#profiles.user_profiles.n_orders_all",
        "Data dictionary 数据字典",
        "orders, counted by tile",
    )
    drawn = [e.text for e in page.find_elements("css selector", "tr.drawn svg text")]
    assert {
        "raw.events.order_id",
        "cleaned.events.order_id",
        "features.user_days.n_orders",
        "profiles.user_profiles.n_orders_all",
    } <= set(drawn)


def test_the_dictionary_is_searched_without_a_network(page: Any, ui: Ui) -> None:
    shows(page, f"{ui.url}/reports/dictionary.html", "Data dictionary")
    page.find_element("id", "search").send_keys("clv_monetary")
    shown = [row for row in page.find_elements("css selector", "tbody tr") if row.is_displayed()]
    assert 0 < len(shown) < 10
    assert all("clv_monetary" in row.text for row in shown)


def test_the_pages_of_the_ui_load_whole_behind_the_guard(page: Any, ui: Ui) -> None:
    page.get_log("browser")
    shows(page, f"{ui.url}/assets", "applications", "audiences")
    assert [m["message"] for m in page.get_log("browser") if m["level"] == "SEVERE"] == []
