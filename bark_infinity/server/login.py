"""The login: a form that takes the API key once and sets a cookie, for browsers, which cannot send the key by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from .security import COOKIE, LOGIN, cookie_of, is_key
from .services import ServerSettings

_COOKIE_S = 30 * 86_400
_WRONG = "<p role='alert'>That is not the key. It is the one of --api_key, where the server was started.</p>"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Bark Infinity: login</title></head>
<body><main><h1>Bark Infinity</h1>{message}
<form method="post" action="/login">
<p><label for="key">API key of this server</label></p>
<p><input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button></p>
</form></main></body></html>
"""


def login_routes(settings: ServerSettings) -> APIRouter:
    """The form at /login, what it is sent to, and the end of it at /logout."""
    router = APIRouter(include_in_schema=False)

    @router.get(LOGIN)
    async def form() -> Response:
        if settings.api_key is None:
            return RedirectResponse("/", 303)
        return HTMLResponse(_PAGE.format(message=""))

    @router.post(LOGIN)
    async def login(request: Request, key: Annotated[str, Form(max_length=10_000)] = "") -> Response:
        if settings.api_key is None:
            return RedirectResponse("/", 303)
        if not is_key(key, settings.api_key):
            return HTMLResponse(_PAGE.format(message=_WRONG), 401)
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        value = cookie_of(settings.api_key)
        response.set_cookie(COOKIE, value, _COOKIE_S, secure=secure, httponly=True, samesite="strict")
        return response

    @router.post("/logout")
    async def logout() -> Response:
        response = RedirectResponse(LOGIN, 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router
