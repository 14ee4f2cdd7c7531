"""What is answered while the model is being loaded."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")
import httpx

from bark_infinity.server.gate import Gate


def answers(gate: Gate, *requests) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://localhost") as client:
            return [await client.request(method, path, headers=headers) for method, path, headers in requests]

    return asyncio.run(ask())


def test_everything_is_refused_in_the_shape_that_its_client_reads():
    health, page, speech, head = answers(
        Gate(),
        ("GET", "/health", {}),
        ("GET", "/", {"Accept": "text/html"}),
        ("POST", "/v1/audio/speech", {}),
        ("HEAD", "/health", {}),
    )
    assert {answer.status_code for answer in (health, page, speech, head)} == {503}
    assert {answer.headers["retry-after"] for answer in (health, page, speech, head)} == {"1"}
    assert health.json() == {"status": "loading"}
    assert 'http-equiv="refresh"' in page.text and page.headers["content-type"].startswith("text/html")
    assert speech.json()["error"].keys() == {"message", "type", "param", "code"}
    assert head.content == b""


def test_the_application_answers_once_it_is_there():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gate = Gate()
    gate.app = app
    (answer,) = answers(gate, ("GET", "/health", {}))
    assert answer.status_code == 204
