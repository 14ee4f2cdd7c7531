"""Decides which requests reach the server's routes, and adds the headers that tell browsers what the page may do.

- The Host header must name the server, so that no foreign name that is pointed at this machine (DNS rebinding) reads it.
- A request that changes something, and comes from a browser, must come from a page of the server itself (CSRF), under the
  requested host or another name of the server: a proxy may replace the Host header.
- With an API key, every request but those for the login and for /health needs it: as `Authorization: Bearer KEY`, or by
  the cookie that the login form sets. The cookie has no key in it, and no address ever has one, so that no log does.
- Bodies are counted while they arrive, and must arrive in time; nothing is read before.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import re
import socket
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .openai_errors import ApiError, error_response
from .services import ServerSettings

COOKIE = "bark_infinity_key"
LOGIN = "/login"
UPLOADS = "/v1/uploads"
_OPEN = frozenset((LOGIN, "/health"))  # paths that need no key
_SAFE = frozenset(("GET", "HEAD"))  # methods that change nothing
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
_EVERY_ADDRESS = frozenset(("0.0.0.0", "::", ""))
_MOST_HEADERS, _MOST_HEADER_BYTES = 100, 32_768
_MULTIPART_BYTES = 65_536  # of an upload beside the file itself
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::(?P<port>\d{1,5}))?", re.ASCII)
_ORIGIN = re.compile(rf"(?P<scheme>https?)://{_HOST.pattern}", re.ASCII)
_USUAL_PORTS = {"http": "80", "https": "443"}  # of an origin that names none

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {  # of every answer that has none of its own
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on this address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def warning_without_key(settings: ServerSettings) -> str | None:
    """What is said at the start of a server that others reach without a key; None where it needs no saying."""
    if settings.api_key is not None or is_loopback(settings.host):
        return None
    return (
        f"WARNING: everybody who reaches {settings.host or 'this machine'}:{settings.port} can use this server, hear its "
        "clips and upload files, for it has no key; start it with --api_key, or with --host 127.0.0.1 for this machine alone"
    )


def is_key(given: str, key: str) -> bool:
    """Whether a key is the right one, in a time that tells nothing about it."""
    return hmac.compare_digest(_digest(given), _digest(key))


def cookie_of(key: str) -> str:
    """What the login's cookie holds: it shows that somebody knew the key, and does not show the key."""
    return hmac.new(key.encode("utf-8", "surrogatepass"), b"bark-infinity login", hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Guard:
    """ASGI middleware in front of all routes."""

    def __init__(self, app: ASGIApp, settings: ServerSettings):
        self._app, self._settings = app, settings
        self._ports = _own_ports(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        headers = Headers(scope=scope)
        refused = self._refuse(scope, headers)
        if refused is not None:
            await refused(scope, receive, guarded)
            return
        body = _Body(receive, self._most_bytes(scope["path"]), self._settings.most_body_s)
        await body.serve(self._app, scope, guarded)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that reaches no route; None for one that does."""
        try:
            self._check_headers(scope)
            host = self._check_host(headers)
            self._check_origin(scope["method"], headers, host)
            if (response := self._check_key(scope, headers)) is not None:
                return response
            self._check_length(scope["path"], headers)
        except ApiError as error:
            return error_response(error)
        return None

    @staticmethod
    def _check_headers(scope: Scope) -> None:
        n_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        n_bytes += len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        if len(scope["headers"]) > _MOST_HEADERS or n_bytes > _MOST_HEADER_BYTES:
            raise ApiError(431, "the request has too many headers, or too long an address", code="headers_too_large")

    def _check_host(self, headers: Headers) -> str:
        """The Host header. Raises ApiError for one that does not name this server."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None or not self._is_own(_plain(match["name"])):
            raise ApiError(
                421,
                "the request is for a host that this server does not go by; start it with --host_names to add one",
                code="unknown_host",
            )
        return hosts[0]

    def _is_own(self, name: str) -> bool:
        if name in self._ports:
            return True
        if is_loopback(self._settings.host):
            return False
        try:
            ipaddress.ip_address(name)  # no name that could be pointed elsewhere
        except ValueError:
            return False
        return True

    def _check_origin(self, method: str, headers: Headers, host: str) -> None:
        """Raise ApiError for a request of a foreign page. Programs that are no browsers send none of these headers."""
        site = headers.get("sec-fetch-site", "none").lower()
        opens_page = headers.get("sec-fetch-mode") == "navigate" and method in _SAFE
        is_foreign = site not in ("same-origin", "none") and not opens_page
        origin = headers.get("origin")
        if origin is not None and method not in _SAFE:
            is_foreign = is_foreign or not self._is_own_origin(origin.lower(), host.lower())
        if is_foreign:
            raise ApiError(403, "the request comes from a page of another site", code="foreign_origin")

    def _is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a page is the server's own: it is at the Host, or, as a proxy may replace that, at a name of the server."""
        if origin in (f"http://{host}", f"https://{host}"):
            return True
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            return False
        ports = self._ports.get(_plain(match["name"]))
        usual = _USUAL_PORTS[match["scheme"]]
        return ports is not None and (match["port"] or usual) in {usual, *ports}

    def _check_key(self, scope: Scope, headers: Headers) -> Response | None:
        """A way to the login for a browser that opens the page without a key. Raises ApiError for others."""
        key = self._settings.api_key
        scope["bark_authorized"] = key is None or _has_key(headers, key)
        if scope["bark_authorized"] or scope["path"] in _OPEN:
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN, 303)
        message = "the request has no API key, or a wrong one; send Authorization: Bearer KEY"
        raise ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})

    def _check_length(self, path: str, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise ApiError(400, "the request's Content-Length is no number")
        if int(length) > self._most_bytes(path):
            raise _too_large(self._most_bytes(path))

    def _most_bytes(self, path: str) -> int:
        settings = self._settings
        return settings.most_upload_bytes + _MULTIPART_BYTES if path == UPLOADS else settings.most_body_bytes


class _Body:
    """The body of one request, counted and timed while it arrives."""

    def __init__(self, receive: Receive, most_bytes: int, most_s: float):
        self._receive, self._most_bytes = receive, most_bytes
        self._deadline = time.monotonic() + most_s
        self._n_bytes = 0
        self._arrived = False
        self._failure: ApiError | None = None
        self._answered = False

    async def serve(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        """Run the app, and answer in its place where the body is too large or too slow."""

        async def watched(message: Message) -> None:
            if self._failure is not None and not self._answered:
                return  # what the app says of a body that it did not get
            self._answered = True
            await send(message)

        with contextlib.suppress(_BodyFailure):
            await app(scope, self.receive, watched)
        if self._failure is not None and not self._answered:
            await error_response(self._failure)(scope, self._receive, send)

    async def receive(self) -> Message:
        if self._arrived:
            return await self._receive()  # waits until the client goes
        if self._failure is not None:
            raise _BodyFailure
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        except asyncio.TimeoutError:
            self._fail(ApiError(408, "the request has not arrived in time", code="timeout"))
        self._n_bytes += len(message.get("body", b""))
        self._arrived = not message.get("more_body", False)
        if self._n_bytes > self._most_bytes:
            self._fail(_too_large(self._most_bytes))
        return message

    def _fail(self, error: ApiError) -> None:
        error.headers["Connection"] = "close"  # the rest of the body is not read
        self._failure = error
        raise _BodyFailure


class _BodyFailure(Exception):
    """Raised to an app that reads a body which is too large or too slow."""


def _too_large(most_bytes: int) -> ApiError:
    message = f"the request has more than the {most_bytes / 1e6:,.0f} MB that it may have"
    return ApiError(413, message, headers={"Connection": "close"})


def _with_headers(send: Send) -> Send:
    """Send answers with the headers that they lack."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded


def _has_key(headers: Headers, key: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and is_key(given.strip(), key):
        return True
    cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    return is_key(cookie, cookie_of(key))


def _own_ports(settings: ServerSettings) -> dict[str, frozenset[str]]:
    """The host names under which the server may be asked, each with the ports that its pages may have beside the usual ones."""
    ports = {name: {str(settings.port)} for name in _LOOPBACK_NAMES}
    if settings.host not in _EVERY_ADDRESS:
        ports[_plain(settings.host)] = {str(settings.port)}
    elif host := socket.gethostname():
        ports |= {_plain(name): {str(settings.port)} for name in (host, f"{host}.local")}
    for given in settings.names:
        match = _HOST.fullmatch(given)  # None for an IPv6 address without brackets
        own = ports.setdefault(_plain(given if match is None else match["name"]), {str(settings.port)})
        if match is not None and match["port"] is not None:
            own.add(match["port"])
    return {name: frozenset(own) for name, own in ports.items()}


def _plain(name: str) -> str:
    """A host name as names are compared."""
    return name.strip("[]").lower().rstrip(".")
