"""/v1/jobs over HTTP: what is created, listed, followed and downloaded, and how errors are told."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_server import SETTINGS, make_services
from starlette.testclient import TestClient

from bark_infinity.server.app import make_app
from bark_infinity.server.network_options import network_flags


@pytest.fixture
def services(tmp_path):
    return make_services(tmp_path)


@pytest.fixture
def client(services) -> TestClient:
    return TestClient(make_app(services), "http://127.0.0.1:7860", follow_redirects=False)


def error(answer) -> dict[str, str]:
    assert set(answer.json()) == {"error"} and set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.json()["error"]


def upload(client: TestClient, name: str, content: bytes) -> dict:
    answer = client.post("/v1/uploads", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_job_of_a_text(client, services):
    body = {"text": "Hello there.", "name": "Greeting", "options": {"seed": "5", "text_temp": 0.5, "speaker": None}}
    made = client.post("/v1/jobs", json=body)
    assert made.status_code == 201
    job = made.json()
    assert made.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["name"], job["state"], job["origin"]) == ("Greeting", "waiting", "api")
    request = services.store.requests[job["id"]]
    assert request.options == {"seed": 5, "text_temp": 0.5} and request.text == "Hello there."
    assert client.get(made.headers["Location"]).json() == job


def test_job_of_an_upload(client, services):
    book = upload(client, "book.md", b"# One\n\nHello.\n")
    made = client.post("/v1/jobs", json={"upload": book["id"], "options": {"chapters": "1"}})
    assert made.status_code == 201
    assert services.store.requests[made.json()["id"]].upload == book["id"]


def test_upload_that_cannot_be_spoken(client):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(24_000) / 10), 24_000, format="FLAC")
    sound = upload(client, "a.flac", file.getvalue())
    answer = client.post("/v1/jobs", json={"upload": sound["id"]})
    assert answer.status_code == 400 and "it is a recording" in error(answer)["message"]


WRONG = [
    ({}, 400, "text"),
    ({"text": "a", "upload": "b"}, 400, "text"),
    ({"text": "  \n"}, 400, "text"),
    ({"text": "a\0b"}, 400, "text"),
    ({"text": 5}, 400, "text"),
    ({"text": ["a"]}, 400, "text"),
    ({"text": "a", "name": "x" * 201}, 400, "name"),
    ({"text": "a", "volume": 3}, 400, "volume"),
    ({"text": "a", "options": []}, 400, "options"),
    ({"text": "a", "options": {"seed": -1}}, 400, "seed"),
    ({"text": "a", "options": {"seed": [1]}}, 400, None),
    ({"text": "a", "options": {"model": "x"}}, 400, "model"),
    ({"text": "a", "options": {"sead": 1}}, 400, "sead"),
    ({"text": "a", "options": {"speaker": "../me"}}, 400, "history_prompt"),
    ({"text": "unspeakable"}, 400, None),
    ({"upload": "0" * 32}, 404, None),
    ([], 400, None),
    ("text", 400, None),
]


@pytest.mark.parametrize("body, status, param", WRONG)
def test_wrong_bodies(client, services, body, status, param):
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == status, answer.text
    told = error(answer)
    assert told["type"] == "invalid_request_error" and told["message"] and "--" not in told["message"]
    if param is not None:
        assert told["param"] == param
    assert services.store.jobs() == []


HOSTILE_BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "deep": b'{"text":' + b"[" * 90_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "long number": b'{"text": "a", "options": {"seed": ' + b"9" * 10_000 + b"}}",
    "no number": b'{"text": "a", "options": {"text_temp": NaN}}',
    "endless": b'{"text": "a", "options": {"text_temp": Infinity}}',
    "no UTF-8": b'{"text": "\xff\xfe"}',
    "surrogate": b'{"text": "\\ud800"}',
    "surrogate as a name": b'{"text": "a", "options": {"\\ud800": 1}}',
    "surrogate as a field": b'{"text": "a", "\\ud800": 1}',
    "NUL": b'{"text": "a", "options": {"book_title": "a\\u0000"}}',
    "many options": b'{"text": "a", "options": {' + b",".join(b'"x%d": 1' % k for k in range(9000)) + b"}}",
}


@pytest.mark.parametrize("body", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES)
def test_hostile_bodies(client, services, body):
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert error(answer)["type"] == "invalid_request_error"
    assert services.store.jobs() == []


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/xml",
        "",
    ],
)
def test_other_content_types(client, services, kind):
    """Also what a form of a foreign page could send without asking first."""
    for path in ("/v1/jobs", "/v1/uploads"):
        answer = client.post(path, content=b'{"text": "Hello."}', headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500, path
        error(answer)
    assert services.store.jobs() == []


def test_full_queue(tmp_path):
    services = make_services(tmp_path, dataclasses.replace(SETTINGS, most_waiting=1))
    client = TestClient(make_app(services), "http://127.0.0.1:7860")
    assert client.post("/v1/jobs", json={"text": "One."}).status_code == 201
    answer = client.post("/v1/jobs", json={"text": "Two."})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert error(answer)["type"] == "rate_limit_error"


def test_actions(client):
    id = client.post("/v1/jobs", json={"text": "Hello."}).json()["id"]
    states = [
        client.post(f"/v1/jobs/{id}/{action}").json()["state"]
        for action in ("pause", "resume", "move_up", "cancel", "retry")
    ]
    assert states == ["paused", "waiting", "waiting", "cancelled", "waiting"]
    assert client.delete(f"/v1/jobs/{id}").status_code == 204
    assert client.post(f"/v1/jobs/{id}/burn").status_code == 404


PATHS = ["", "/segments", "/events", "/result", "/pause", "/nothing"]


@pytest.mark.parametrize("id", ["none", "..", "%2e%2e", "..%2f..", "%00", "%ff", "a" * 5000, "../../etc/passwd", "😀"])
def test_unknown_jobs(client, id):
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "PUT"):
            answer = client.request(method, f"/v1/jobs/{id}{path}")
            assert answer.status_code in (400, 404, 405), (method, path)
            error(answer)


def test_lists(client):
    ids = [client.post("/v1/jobs", json={"text": f"Text {k}."}).json()["id"] for k in range(3)]
    client.post(f"/v1/jobs/{ids[0]}/cancel")
    assert [job["id"] for job in client.get("/v1/jobs").json()["data"]] == ids[::-1]
    page = client.get("/v1/jobs", params={"limit": 1, "offset": 1}).json()
    assert (page["total"], [job["id"] for job in page["data"]]) == (3, [ids[1]])
    assert client.get("/v1/jobs", params={"state": "cancelled"}).json()["total"] == 1
    for query in ({"limit": 0}, {"limit": 10**30}, {"state": "x"}, {"offset": -1}):
        assert error(client.get("/v1/jobs", params=query))["param"] == next(iter(query))


def test_segments_and_events_since(client):
    job = client.post("/v1/jobs", json={"text": "Hello."}).json()
    segments = client.get(f"/v1/jobs/{job['id']}/segments").json()
    assert len(segments["data"]) == 3 and segments["revision"] == job["revision"]
    assert client.get(f"/v1/jobs/{job['id']}/segments", params={"since": job["revision"]}).json()["data"] == []
    client.post(f"/v1/jobs/{job['id']}/pause")
    (event,) = client.get(f"/v1/jobs/{job['id']}/events", params={"since": job["revision"]}).json()["data"]
    assert event["type"] == "paused"


def test_events_as_a_stream(client):
    id = client.post("/v1/jobs", json={"text": "Hello."}).json()["id"]
    client.post(f"/v1/jobs/{id}/cancel")
    with client.stream(
        "GET", f"/v1/jobs/{id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "1"}
    ) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    assert lines[1] == "event: job" and "event: over" in lines and not any("created" in line for line in lines)
    for last in ("x", "-1", "9" * 40):
        assert client.get(f"/v1/jobs/{id}/events", headers={"Last-Event-ID": last}).status_code == 200


# ---- results ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(client, services) -> str:
    id = client.post("/v1/jobs", json={"text": "Hello."}).json()["id"]
    folder = Path(services.defaults.output_dir)
    folder.mkdir(parents=True)
    soundfile.write(folder / "hello there.wav", np.zeros(24_000), 24_000)
    (folder / "hello there.json").write_text("{}")
    (folder / "private.txt").write_text("private")
    services.store.finish(id, ["hello there.json", "hello there.wav"])
    return id


def test_result(client, services, finished):
    whole = (Path(services.defaults.output_dir) / "hello there.wav").read_bytes()
    answer = client.get(f"/v1/jobs/{finished}/result")
    assert answer.content == whole and answer.headers["Content-Type"] == "audio/wav"
    assert "hello%20there.wav" in answer.headers["Content-Disposition"]
    assert client.head(f"/v1/jobs/{finished}/result").headers["Content-Length"] == str(len(whole))
    part = client.get(f"/v1/jobs/{finished}/result", headers={"Range": "bytes=44-143"})
    assert (part.status_code, part.content) == (206, whole[44:144])
    assert part.headers["Content-Range"] == f"bytes 44-143/{len(whole)}"
    for wrong, status in {"bytes=9999999-": 416, "bytes=5-1": 400, "x": 400}.items():
        assert client.get(f"/v1/jobs/{finished}/result", headers={"Range": wrong}).status_code == status
    assert client.get(f"/v1/jobs/{finished}/result", params={"file": "hello there.json"}).json() == {}


@pytest.mark.parametrize(
    "file", ["private.txt", "../private.txt", "/etc/passwd", "hello there.wav/../private.txt", "", ".", "\0"]
)
def test_no_other_file_is_sent(client, finished, file):
    answer = client.get(f"/v1/jobs/{finished}/result", params={"file": file})
    assert answer.status_code == 404
    assert error(answer)["param"] == "file"


def test_file_that_leads_out_of_the_folder_is_not_sent(client, services, finished, tmp_path):
    (tmp_path / "secret.wav").write_bytes(b"x")
    (Path(services.defaults.output_dir) / "link.wav").symlink_to(tmp_path / "secret.wav")
    for name in ("link.wav", "../secret.wav"):
        services.store.finish(finished, [name])
        assert client.get(f"/v1/jobs/{finished}/result").status_code == 404


def test_result_that_is_not_there(client, services, finished):
    assert error(client.get(f"/v1/jobs/{finished}/result", params={"clip": 1}))["param"] == "clip"
    (Path(services.defaults.output_dir) / "hello there.wav").unlink()
    assert client.get(f"/v1/jobs/{finished}/result").status_code == 404
    unfinished = client.post("/v1/jobs", json={"text": "Hello."}).json()["id"]
    answer = client.get(f"/v1/jobs/{unfinished}/result")
    assert (answer.status_code, error(answer)["code"]) == (409, "not_finished")


# ---- uploads and options ---------------------------------------------------------------------------------------------


def test_uploads(client):
    made = upload(client, "../../notes.txt", b"Hello.")
    assert (made["name"], made["kind"], made["bytes"], made["object"]) == ("notes.txt", "text", 6, "upload")
    assert client.get("/v1/uploads").json()["data"] == [made]
    assert client.delete(f"/v1/uploads/{made['id']}").status_code == 204
    assert error(client.delete(f"/v1/uploads/{made['id']}"))["code"] == "not_found"


def test_uploads_that_are_refused(client, services):
    large = client.post("/v1/uploads", files={"file": ("a.txt", b"x" * 100_001)})
    assert (large.status_code, error(large)["code"]) == (413, "request_too_large")
    assert client.post("/v1/uploads", files={"file": ("a.txt", b"x" * 300_000)}).status_code == 413
    assert "a.npz" in error(client.post("/v1/uploads", files={"file": ("a.npz", b"PK\x03\x04")}))["message"]
    assert error(client.post("/v1/uploads", files={"other": ("a.txt", b"x")}))["param"] == "file"
    assert error(client.post("/v1/uploads", data={"file": "x"}))["param"] == "file"
    assert client.get("/v1/uploads").json()["data"] == []


def test_upload_names_with_everything_in_them(client):
    for name in ("a\0b.txt", "..", "😀" * 200 + ".txt", 'a"b\\c.txt', "\r\nX: y.txt"):
        assert client.post("/v1/uploads", files={"file": (name, b"Hello.")}).status_code in (201, 400), name


def test_options_are_those_of_the_table(client):
    options = {option["name"]: option for option in client.get("/v1/jobs/options").json()["data"]}
    assert list(options) == [line.name for line in network_flags()]
    assert options["seed"]["kind"] == "int" and options["output_format"]["choices"]
    assert options["history_prompt"]["default"] is None and options["text_temp"]["default"] == 0.7


def test_unknown_addresses_and_methods(client):
    assert error(client.get("/nothing"))["code"] == "not_found"
    assert error(client.put("/v1/jobs"))["code"] == "method_not_allowed"
    assert client.get("/docs").status_code == 404


def test_bug_is_told_without_its_trace(services, monkeypatch, caplog):
    def broken() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(services.store, "jobs", broken)
    client = TestClient(make_app(services), "http://127.0.0.1:7860", raise_server_exceptions=False)
    answer = client.get("/v1/jobs")
    assert (answer.status_code, error(answer)["type"]) == (500, "server_error")
    assert "secret" not in answer.text and "secret detail" in caplog.text
