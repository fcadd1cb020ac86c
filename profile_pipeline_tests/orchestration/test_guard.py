import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from profile_pipeline.orchestration.ui.guard import LOOPBACK, guarded

OWN = {"host": "localhost:3000"}
MUTATION = "?query=" + quote("mutation { launchRun }")


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    """A server that answers everything, behind the guard, with two report pages."""

    async def answer(_: Any) -> PlainTextResponse:
        return PlainTextResponse("let through")

    async def talk(socket: WebSocket) -> None:
        await socket.accept()

    (tmp_path / "reports" / "2026-03-23").mkdir(parents=True)
    (tmp_path / "reports" / "2026-03-23" / "index.html").write_text("a report")
    (tmp_path / "reports" / "link.html").symlink_to(tmp_path / "secret.html")
    (tmp_path / "secret.html").write_text("a secret")
    methods = ["GET", "POST", "PUT", "DELETE"]
    routes = [WebSocketRoute("/graphql", talk), Route("/{path:path}", answer, methods=methods)]
    return guarded(Starlette(routes=routes), hosts=LOOPBACK, reports=tmp_path / "reports")


def ask(
    app: Starlette, path: str, *, method: str = "GET", kind: str = "http", headers: Any = OWN
) -> tuple[int | str, dict[str, str], str]:
    """Return status, headers and body; of a websocket that is accepted, the status is `accepted`."""
    path, _, query = path.partition("?")
    pairs = headers.items() if isinstance(headers, dict) else headers
    scope = {
        "type": kind, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http" if kind == "http" else "ws",
        "query_string": query.encode(), "headers": [(k.encode(), v.encode()) for k, v in pairs], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 3000),
        "extensions": {"websocket.http.response": {}}, "subprotocols": [],
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    arriving = [{"type": "http.request", "body": b""} if kind == "http" else {"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        if not arriving:
            await asyncio.Event().wait()  # whoever asked stays
        return arriving.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if sent[0]["type"] == "websocket.accept":
        return "accepted", {}, ""
    told = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(m.get("body", b"") for m in sent[1:]).decode()


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "LOCALHOST", "localhost:8080"])
def test_the_names_of_loopback_are_let_through(app: Starlette, host: str) -> None:
    assert ask(app, "/assets", headers={"host": host})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:3000"}, {"host": "localhost.evil.example"}, {"host": "127.0.0.1.evil.example"}, {"host": "localhost@evil.example"}, {"host": ""}, {},
        {"host": "0.0.0.0:3000"}, {"host": "[::1"}, [("host", "localhost"), ("host", "evil.example")],
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused(app: Starlette, headers: Any) -> None:
    assert ask(app, "/assets", headers=headers)[0] == 421
    assert ask(app, "/reports/2026-03-23/index.html", headers=headers)[0] == 421
    assert ask(app, "/graphql", kind="websocket", headers=headers)[0] == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3001",
        "http://localhost",
        "null",
        "",
        "file://",
        "http://127.0.0.1:3000",
    ],
)
def test_a_foreign_origin_is_refused(app: Starlette, origin: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert ask(app, "/graphql", method=method, headers=OWN | {"origin": origin})[0] == 403
    assert ask(app, "/report_asset_check/a", method="POST", headers=OWN | {"origin": origin})[0] == 403
    assert ask(app, "/graphql", kind="websocket", headers=OWN | {"origin": origin})[0] == 403


def test_the_ui_itself_and_programs_are_let_through(app: Starlette) -> None:
    own = OWN | {"origin": "http://localhost:3000", "sec-fetch-site": "same-origin"}
    assert ask(app, "/graphql", method="POST", headers=own)[0] == 200
    assert ask(app, "/graphql", kind="websocket", headers=own)[0] == "accepted"
    assert ask(app, "/graphql", method="POST")[0] == 200
    assert ask(app, "/graphql", kind="websocket")[0] == "accepted"
    assert ask(app, "/graphql?query={version}")[0] == 200


@pytest.mark.parametrize(
    "query",
    [
        "mutation { a }", "mutation M($x: Int) { a(x: $x) }", "  # said\n mutation{a}", "query Q { a } mutation M { a }", "fragment f on M { a } mutation { ...f }",
        "subscription { a }", "\ufeffmutation { a }",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_a_mutation_needs_a_post(app: Starlette, query: str, method: str) -> None:
    for path in ("/graphql", "/graphql/", "/", "//graphql"):
        assert ask(app, f"{path}?query={quote(query)}", method=method)[0] == 405
    assert ask(app, f"/graphql?query={{a}}&query={quote(query)}", method=method)[0] == 405


def test_another_site_may_lead_to_the_ui_but_load_nothing_from_it(app: Starlette) -> None:
    for site in ("cross-site", "same-site"):
        assert ask(app, "/assets", headers=OWN | {"sec-fetch-site": site, "sec-fetch-mode": "navigate"})[0] == 200
        assert ask(app, "/logo.png", headers=OWN | {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"})[0] == 403
        forged = OWN | {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        assert ask(app, "/graphql", method="POST", headers=forged)[0] == 403
    visited = OWN | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert ask(app, f"/graphql{MUTATION}", headers=visited)[0] == 405


def test_no_other_page_can_frame_the_ui(app: Starlette) -> None:
    assert ask(app, "/assets")[1]["x-frame-options"] == "SAMEORIGIN"


def test_report_pages_are_served_in_a_sandbox_and_can_only_be_read(app: Starlette) -> None:
    for path in ("/reports/2026-03-23/index.html", "/reports/2026-03-23/"):
        status, headers, body = ask(app, path)
        assert (status, body) == (200, "a report")
        assert headers["content-security-policy"].startswith("sandbox allow-scripts")
        assert "allow-same-origin" not in headers["content-security-policy"]
    for method in ("POST", "PUT", "DELETE"):
        assert ask(app, "/reports/2026-03-23/index.html", method=method)[0] == 405


@pytest.mark.parametrize(
    "path",
    ["/reports/../secret.html", "/reports/2026-03-23/../../secret.html", "/reports//etc/passwd", "/reports/link.html", "/reports/..", "/reports/\x00"],
)  # fmt: skip
def test_there_is_no_way_out_of_the_reports(app: Starlette, path: str) -> None:
    status, _, body = ask(app, path)
    assert status in (400, 404), body
    assert "secret" not in body
