"""Checks of every request, before anything else sees it: method, host and token."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Nothing but this server, and no script within the page: a name in a record can never run as one.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


CLIPS_PATH = "/v1/clips"
JUDGED = "/judgement"
"""End of the paths of clips that a POST may change, the only change there is."""

CHANGE_HEADER = "x-streamgmm"
"""Header that a POST must have, as the page of another site cannot send it without being asked about it first."""


class Guard:
    """Refuse requests that would change something, that another site has directed here, or without the token.

    Args:
        app: what is guarded.
        hosts: host names that are admitted; addresses and `localhost` always are.
        token: token that must be there as bearer token or as password of any user; empty: none.
        may_judge: whether clips can be judged.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str, *, may_judge: bool = False) -> None:
        self._app = app
        self._hosts = frozenset({"localhost", *hosts})
        self._token = token.encode()
        self._may_judge = may_judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refuse(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is not None:
            # Whoever is refused keeps no connection, of which there are only so many.
            refusal.headers["connection"] = "close"
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refuse(self, method: str, path: str, headers: Headers) -> Response | None:
        is_change = self._may_judge and method == "POST" and path.startswith(f"{CLIPS_PATH}/") and path.endswith(JUDGED)
        if method not in ("GET", "HEAD") and not is_change:
            return PlainTextResponse("nothing can be changed here\n", 405, {"allow": "GET, HEAD"})
        if not self._admits_host(headers.get("host", "")):
            # A name that its owner lets point here would give the owner's pages access (DNS rebinding).
            return PlainTextResponse("unknown host; add it to `hosts` of the sink\n", 421)
        if self._token and not self._has_token(headers.get("authorization", "")):
            return PlainTextResponse(
                "the token is needed, as password or as bearer token\n",
                401,
                {"www-authenticate": 'Basic realm="streamgmm", charset="UTF-8"'},
            )
        if is_change and not _is_from_own_page(headers):
            wanted = f"with the header {CHANGE_HEADER}, content-type application/json, and from no other site"
            return PlainTextResponse(f"a change must come {wanted}\n", 403)
        return None

    def _admits_host(self, host: str) -> bool:
        name = host.lower().rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host.lower()
        return name.rstrip(".") in self._hosts or _is_address(name)

    def _has_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        said = given.strip().encode()
        if scheme.lower() == "basic":
            try:
                said = base64.b64decode(said, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(self._token, said)


def _is_from_own_page(headers: Headers) -> bool:
    """Return whether a request comes from the page of this server, or from a program that is no browser."""
    host = headers.get("host", "").lower()
    origin = headers.get("origin")
    return (
        bool(headers.get(CHANGE_HEADER))
        and headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        and headers.get("sec-fetch-site", "same-origin") == "same-origin"
        and (origin is None or origin.lower().partition("://")[2] == host)
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True
