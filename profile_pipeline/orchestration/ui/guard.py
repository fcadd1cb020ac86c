"""The guard in front of Dagster's webserver, which would run a mutation for any page that the browser has open.

Dagster has no log-in, takes mutations over GET and asks neither whence a request comes nor for whom it is meant. Here those
requests are refused, and the report pages are served beside it. Not here: the server itself (`webserver`), or a log-in: who can
reach loopback can do everything.
"""

from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FOREIGN_SITES = ("cross-site", "same-site")
# In a sandbox a page has no origin: even a script that someone smuggled into a report could not speak to Dagster.
PAGE_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-popups; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Guard:
    """ASGI middleware that lets through what the UI itself asks for, and refuses the rest.

    Parameters
    ----------
    hosts
        Names by which the UI may be called; with another one a name of the attacker's has been pointed at this machine.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = refusal_of(scope, self._hosts)
        if refused is not None:
            await refused(scope, receive, send)
            return

        async def send_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Else another page could lay the UI, unseen, over its own buttons.
                MutableHeaders(scope=message).setdefault("X-Frame-Options", "SAMEORIGIN")
            await send(message)

        await self._app(scope, receive, send_unframed)


def refusal_of(scope: Scope, hosts: Collection[str]) -> Response | None:
    """Return the answer to a request that may not pass, or None: 421 foreign Host, 403 foreign Origin, 405 mutation without POST."""
    headers = Headers(scope=scope)
    named = headers.getlist("host")
    if len(named) != 1 or _name_of(named[0]) not in hosts:
        return PlainTextResponse(
            f"found the host {', '.join(named) or 'none'}, expected one of {', '.join(sorted(hosts))}", status_code=421
        )
    # A browser sends Origin with every POST and every websocket; what sends none is not a page.
    foreign = [origin for origin in headers.getlist("origin") if urlsplit(origin).netloc.lower() != named[0].lower()]
    if foreign:
        return PlainTextResponse(f"found the origin {foreign[0]}, expected that of the UI", status_code=403)
    method = scope.get("method", "GET")
    is_visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in FOREIGN_SITES and not is_visit:
        return PlainTextResponse("found a request from another site, expected one from the UI", status_code=403)
    if scope["type"] == "http" and method != "POST" and _asks_for_change(QueryParams(scope["query_string"])):
        return PlainTextResponse(
            "found a mutation, expected it in a POST", status_code=405, headers={"Allow": "POST, GET"}
        )
    return None


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _asks_for_change(parameters: QueryParams) -> bool:
    """Say whether a query in the address is anything but a query, on whatever path; what can't be parsed Dagster can't run."""
    for text in parameters.getlist("query"):
        try:
            definitions = parse(text).definitions
        except GraphQLError:
            continue
        if any(isinstance(d, OperationDefinitionNode) and d.operation != OperationType.QUERY for d in definitions):
            return True
    return False


class Pages(StaticFiles):
    """The report pages: read only, no way out of their folder, no way from them to Dagster."""

    def file_response(self, *arguments: object, **more: object) -> Response:
        response = super().file_response(*arguments, **more)  # type: ignore[arg-type]
        response.headers.update(PAGE_HEADERS)
        return response


def guarded(app: Starlette, *, hosts: Collection[str], reports: Path) -> Starlette:
    """Put the guard in front of a webserver, and the report pages beside it, under `/reports/`."""
    app.router.routes.insert(0, Mount("/reports", Pages(directory=reports, html=True, check_dir=False)))
    app.add_middleware(Guard, hosts=hosts)
    return app
