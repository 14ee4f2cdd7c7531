"""The application that the server starts with: it says that the model is being loaded, and then lets the real one answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_RETRY_AFTER_S = b"1"
_PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><meta http-equiv="refresh" content="1">
<title>Bark Infinity</title></head><body><main><h1>Bark Infinity</h1>
<p role="status">The model is being loaded. This page goes on by itself.</p></main></body></html>
"""
_ERROR = {"message": "the model is being loaded; try again in a second", "type": "server_error", "param": None}


class Gate:
    """An ASGI application: every request gets status 503 and a Retry-After header until `app` is set, which then answers."""

    def __init__(self) -> None:
        self.app: Application | None = None
        """The real application, once it is there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.app is not None:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] == "/health":
            kind, body = b"application/json", json.dumps({"status": "loading"}).encode()
        elif b"text/html" in headers.get(b"accept", b""):
            kind, body = b"text/html; charset=utf-8", _PAGE
        else:
            kind, body = b"application/json", json.dumps({"error": _ERROR | {"code": "loading"}}).encode()
        length = str(len(body)).encode()
        answer = [(b"content-type", kind), (b"content-length", length), (b"retry-after", _RETRY_AFTER_S)]
        answer += [(b"cache-control", b"no-store"), (b"content-security-policy", b"default-src 'none'")]
        await send({"type": "http.response.start", "status": 503, "headers": answer})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
