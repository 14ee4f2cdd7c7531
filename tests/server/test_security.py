"""Which requests reach the routes, and with which headers answers leave."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest
from fake_server import SETTINGS, make_services
from starlette.testclient import TestClient

from bark_infinity.server.app import make_app
from bark_infinity.server.security import COOKIE, is_loopback, warning_without_key

KEY = "sesame-street-is-open"


def client(folder, **changes) -> TestClient:
    settings = dataclasses.replace(SETTINGS, **changes)
    return TestClient(make_app(make_services(folder, settings)), "http://127.0.0.1:7860", follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:80", "[::1]:7860", "localhost."])
def test_names_of_this_machine_are_answered(tmp_path, host):
    assert client(tmp_path).get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "localhost@evil",
        "192.168.0.7",
        "",
        "a b",
        "127.0.0.1:x",
    ],
)
def test_foreign_names_are_refused(tmp_path, host):
    answer = client(tmp_path).get("/v1/jobs", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "unknown_host"


def test_request_with_two_hosts_is_refused(tmp_path):
    headers = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    assert client(tmp_path).get("/v1/jobs", headers=headers).status_code == 421


def test_names_of_the_settings_are_answered(tmp_path):
    asked = client(tmp_path, host="0.0.0.0", api_key=KEY, names=("Speech.example",))
    asked.headers["Authorization"] = f"Bearer {KEY}"
    for host, status in {"speech.example": 200, "192.168.0.7:7860": 200, "[fe80::1]": 200, "evil.example": 421}.items():
        assert asked.get("/v1/jobs", headers={"Host": host}).status_code == status, host


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://127.0.0.1:7860.evil.example"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_foreign_pages_change_nothing(tmp_path, headers):
    asked = client(tmp_path)
    for method, path in (
        ("POST", "/v1/jobs"),
        ("DELETE", "/v1/jobs/1"),
        ("POST", "/v1/uploads"),
        ("OPTIONS", "/v1/jobs"),
    ):
        answer = asked.request(method, path, headers=headers)
        assert answer.status_code == 403, (method, path)
        assert answer.json()["error"]["code"] == "foreign_origin"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://127.0.0.1:7860"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_own_pages_and_programs_make_jobs(tmp_path, headers):
    assert client(tmp_path).post("/v1/jobs", json={"text": "Hello."}, headers=headers).status_code == 201


BEHIND_A_PROXY = {
    "https://speech.example": 201,
    "http://SPEECH.example": 201,
    "https://speech.example:443": 201,
    "https://bark.lan:8443": 201,
    "http://localhost": 201,
    "http://localhost:7860": 201,
    "https://speech.example:8443": 403,
    "https://bark.lan:9999": 403,
    "http://localhost:9999": 403,
    "https://evil.speech.example": 403,
    "https://speech.example.evil": 403,
    "https://user@speech.example": 403,
    "https://speech.example/": 403,
    "ftp://speech.example": 403,
    "speech.example": 403,
    "http://192.168.0.7": 403,
    "null": 403,
}


def test_own_pages_behind_a_proxy_that_replaces_the_host_make_jobs(tmp_path):
    asked = client(tmp_path, names=("Speech.example", "bark.lan:8443"))
    for origin, status in BEHIND_A_PROXY.items():
        answer = asked.post("/v1/jobs", json={"text": "Hello."}, headers={"Origin": origin})
        assert answer.status_code == status, origin
    assert asked.get("/v1/jobs", headers={"Host": "bark.lan:8443"}).status_code == 200
    foreign = {"Origin": "https://speech.example", "Sec-Fetch-Site": "same-site"}
    assert asked.post("/v1/jobs", json={"text": "Hello."}, headers=foreign).status_code == 403


def test_foreign_pages_read_nothing_but_may_link_here(tmp_path):
    asked = client(tmp_path)
    assert (
        asked.get("/v1/jobs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    )
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert asked.get("/v1/jobs", headers=linked).status_code == 200


@pytest.mark.parametrize("path", ["/v1/jobs", "/metrics", "/v1/uploads", "/openapi.json", "/nothing"])
def test_every_path_needs_the_key(tmp_path, path):
    asked = client(tmp_path, api_key=KEY)
    for given in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEY},
        {"Cookie": f"{COOKIE}={KEY}"},
        {"Cookie": "=;=;;"},
    ):
        answer = asked.get(path, headers=given)
        assert answer.status_code == 401, given
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["type"] == "authentication_error"
    assert asked.get(path, headers={"Authorization": f"bearer {KEY}"}).status_code != 401


def test_health_tells_strangers_no_more_than_that_it_works(tmp_path):
    asked = client(tmp_path, api_key=KEY)
    assert asked.get("/health").json() == {"status": "ok", "model": None, "version": None}
    assert asked.get("/health", headers={"Authorization": f"Bearer {KEY}"}).json()["model"] == "fake"


def test_browsers_log_in_with_a_form(tmp_path):
    asked = client(tmp_path, api_key=KEY)
    page = asked.get("/", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["Location"]) == (303, "/login")
    assert "<form" in asked.get("/login").text and "<script" not in asked.get("/login").text
    assert asked.post("/login", data={"key": "wrong"}).status_code == 401
    done = asked.post("/login", data={"key": KEY})
    assert (done.status_code, done.headers["Location"]) == (303, "/")
    cookie = done.headers["Set-Cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and KEY not in cookie
    assert asked.get("/v1/jobs").status_code == 200  # the client keeps the cookie
    asked.post("/logout")
    assert asked.get("/v1/jobs").status_code == 401


def test_cookie_is_no_key_and_does_not_replace_the_check_of_the_origin(tmp_path):
    asked = client(tmp_path, api_key=KEY)
    cookie = asked.post("/login", data={"key": KEY}).cookies[COOKIE]
    assert (
        client(tmp_path, api_key=KEY).get("/v1/jobs", headers={"Authorization": f"Bearer {cookie}"}).status_code == 401
    )
    assert asked.post("/v1/jobs", json={"text": "Hi."}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert (
        client(tmp_path, api_key="another").get("/v1/jobs", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401
    )


def test_key_is_never_shown(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    asked = client(tmp_path, api_key=KEY)
    asked.get("/v1/jobs", headers={"Authorization": f"Bearer {KEY}"})
    asked.post("/login", data={"key": KEY})
    asked.post("/v1/jobs", json={"nothing": 1}, headers={"Authorization": f"Bearer {KEY}"})
    assert KEY not in caplog.text
    assert KEY not in repr(dataclasses.replace(SETTINGS, api_key=KEY))


def test_warning_about_a_server_without_a_key():
    assert warning_without_key(SETTINGS) is None
    assert warning_without_key(dataclasses.replace(SETTINGS, host="0.0.0.0", api_key=KEY)) is None
    warning = warning_without_key(dataclasses.replace(SETTINGS, host="0.0.0.0"))
    assert warning is not None and "--api_key" in warning and "0.0.0.0:7860" in warning


@pytest.mark.parametrize(
    "host, own",
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("pi.local", False),
    ],
)
def test_loopback(host, own):
    assert is_loopback(host) is own


def test_headers_of_answers(tmp_path):
    asked = client(tmp_path)
    answers = [
        asked.get("/health"),
        asked.get("/nothing"),
        asked.post("/v1/jobs", content="{"),
        asked.get("/", headers={"Host": "x.y"}),
    ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_too_many_headers(tmp_path):
    asked = client(tmp_path)
    assert asked.get("/health", headers=[(f"X-{k}", "1") for k in range(10_000)]).status_code == 431
    assert asked.get("/health", headers={"X-Long": "x" * 40_000}).status_code == 431
    assert asked.get(f"/health?{'x' * 40_000}").status_code == 431


# ---- bodies ----------------------------------------------------------------------------------------------------------


def test_body_that_says_it_is_too_large_is_not_read(tmp_path):
    answer = client(tmp_path).post("/v1/jobs", content=b"{}", headers={"Content-Length": "200001"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    for length in ("-1", "1e3", "٣", "9" * 30):
        assert client(tmp_path).post("/v1/jobs", headers=[(b"Content-Length", length.encode())]).status_code in (
            400,
            413,
        )


def test_body_without_a_length_is_counted(tmp_path):
    read = 0

    def pieces():
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b" " * 10_000

    status, _, consumed = exchange(
        tmp_path, [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces()]
    )
    assert status == 413
    assert consumed <= 22  # 200 kB, and no more


def test_slow_body_is_given_up(tmp_path):
    status, body, _ = exchange(tmp_path, [{"type": "http.request", "body": b"{", "more_body": True}], most_body_s=0.05)
    assert status == 408 and b'"timeout"' in body


def test_client_that_goes_while_it_sends(tmp_path):
    status, _, _ = exchange(
        tmp_path, [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    assert status in (None, 400)


def test_websockets_are_closed(tmp_path):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b"", "subprotocols": []}
    asyncio.run(make_app(make_services(tmp_path))(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def exchange(folder, messages, **changes):
    """POST /v1/jobs with a body of these messages: (status, body, number of messages that were read)."""
    app = make_app(make_services(folder, dataclasses.replace(SETTINGS, **changes)))
    waiting, sent = list(messages), []

    async def receive():
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(10)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/v1/jobs", "raw_path": b"/v1/jobs",
        "query_string": b"", "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    start = next((message for message in sent if message["type"] == "http.response.start"), None)
    body = b"".join(message.get("body", b"") for message in sent)
    return start and start["status"], body, len(messages) - len(waiting)
