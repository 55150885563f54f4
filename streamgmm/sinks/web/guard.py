"""Checks of every request, before anything else sees it: method, host and token."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Nothing but this server, and no script within the page: a name in a record can never run as one.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuse requests that would change something, that another site has directed here, or without the token.

    Args:
        app: what is guarded.
        hosts: host names that are admitted; addresses and `localhost` always are.
        token: token that must be there as bearer token or as password of any user; empty: none.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str) -> None:
        self._app = app
        self._hosts = frozenset({"localhost", *hosts})
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refuse(scope["method"], Headers(scope=scope)) or self._app
        await answer(scope, receive, send_guarded)

    def _refuse(self, method: str, headers: Headers) -> ASGIApp | None:
        if method not in ("GET", "HEAD"):
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


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True
