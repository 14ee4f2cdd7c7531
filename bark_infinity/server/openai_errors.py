"""Errors as OpenAI's API answers them: status, and {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import overload

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ..errors import (
    BarkError,
    DeviceError,
    EngineClosedError,
    OutputError,
    QueueFullError,
    TooLargeError,
    UnknownError,
)
from ..options.python_words import in_python_words
from .network_options import OptionError

INVALID, SERVER = "invalid_request_error", "server_error"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
_CODES |= {409: "conflict", 413: "request_too_large", 429: "queue_full"}
_STATUSES: Mapping[type[BarkError], int] = {
    UnknownError: 404,
    TooLargeError: 413,
    DeviceError: 503,
    EngineClosedError: 503,
    OutputError: 507,
}
_log = logging.getLogger(__name__)


class ErrorDetails(BaseModel):
    """What is wrong with a request. `param`: the field of the request that is at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The body of every answer with a status of 400 and more."""

    error: ErrorDetails


class ApiError(Exception):
    """An answer other than success. `param`: the field at fault; `code`: None for the usual one of the status."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})


def error_response(error: ApiError) -> JSONResponse:
    """The answer to a request that failed."""
    kind = _TYPES.get(error.status, INVALID if error.status < 500 else SERVER)
    code = error.code if error.code is not None else _CODES.get(error.status)
    details = ErrorDetails(message=_encodable(error.message), type=kind, param=_encodable(error.param), code=code)
    return JSONResponse(ErrorAnswer(error=details).model_dump(), error.status, error.headers)


def api_error(error: BarkError, param: str | None = None) -> ApiError:
    """An error of the program as an answer, in a program's words. `param`: the field at fault, where it is known."""
    if isinstance(error, QueueFullError):
        return ApiError(429, str(error), param, headers={"Retry-After": str(error.retry_after_s)})
    if isinstance(error, OptionError):
        param = error.flag if param is None else param
    return ApiError(_status(error), in_words(str(error)), param)


def in_words(message: str) -> str:
    """A message without the dashes of the command line's flags."""
    return str(in_python_words(BarkError(message)))


def _status(error: BarkError) -> int:
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return status
    return 400


def answer_errors(app: FastAPI) -> None:
    """Answer all errors of an app's routes in OpenAI's shape."""

    @app.exception_handler(ApiError)
    async def of_api(_: Request, error: ApiError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(BarkError)
    async def of_program(_: Request, error: BarkError) -> JSONResponse:
        return error_response(api_error(error))

    @app.exception_handler(RequestValidationError)
    async def of_validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return error_response(_of_validation(error))

    @app.exception_handler(HTTPException)
    async def of_starlette(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return error_response(ApiError(404, f"there is nothing at {request.method} {_shown(request.url.path)}"))
        return error_response(ApiError(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(Exception)
    async def of_bug(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, _shown(request.url.path), exc_info=error)
        return error_response(ApiError(500, "the server has failed; its log says how"))


def _of_validation(error: RequestValidationError) -> ApiError:
    """What is wrong with the first field that is."""
    first = error.errors()[0]
    place = [str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    message = str(first.get("msg", "it cannot be read"))
    return ApiError(400, f"{_shown(param)}: {message}" if param is not None else f"the request: {message}", param)


@overload
def _encodable(text: str) -> str: ...
@overload
def _encodable(text: None) -> None: ...
def _encodable(text: str | None) -> str | None:
    """A text without the lone surrogates that JSON may bring in and UTF-8 cannot write."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _shown(text: str) -> str:
    """A text of a stranger as a message shows it."""
    return text if len(text) <= 200 and text.isprintable() else repr(text[:200])
