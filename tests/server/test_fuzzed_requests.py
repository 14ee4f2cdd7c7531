"""Requests drawn from the OpenAPI schema, and others like them: no failure of the server, and answers as the schema says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import jsonschema
import pytest
from fake_server import SETTINGS, make_services
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speech_server import Tones
from starlette.testclient import TestClient

from bark_infinity.server import speech
from bark_infinity.server.app import make_app
from bark_infinity.server.network_options import network_flags

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(), st.floats())
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FLAGS = st.sampled_from([line.name for line in network_flags()])
HEADERS = st.dictionaries(
    st.sampled_from(["Accept", "Range", "Last-Event-ID", "Content-Type", "If-Range", "Accept-Encoding"]),
    st.sampled_from(
        ["*/*", "application/json", "text/html", "bytes=0-3", "bytes=-1", "bytes=9-1,x", "0", "x", "\xff", ""]
    ),
    max_size=2,
)


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None  # by media type
    responses: dict[str, Any]


@dataclass(frozen=True)
class Server:
    client: TestClient
    schema: dict[str, Any] = field(repr=False)
    ids: list[str]  # of jobs and uploads that are there


def operations(schema: Mapping[str, Any]) -> list[Operation]:
    return [
        Operation(
            method.upper(), path, own.get("parameters", []), own.get("requestBody", {}).get("content"), own["responses"]
        )
        for path, methods in schema["paths"].items()
        for method, own in methods.items()
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    services = make_services(tmp_path_factory.mktemp("fuzzed"), dataclasses.replace(SETTINGS, most_waiting=10**6))
    app = make_app(services)
    with (
        patch.object(speech, "speak_live", lambda _, *asked: Tones(*asked)),
        TestClient(app, "http://127.0.0.1:7860", raise_server_exceptions=False) as client,
    ):
        jobs = [client.post("/v1/jobs", json={"text": f"Text {k}."}).json()["id"] for k in range(2)]
        folder = Path(services.defaults.output_dir)
        upload = client.post("/v1/uploads", files={"file": ("a.txt", b"Hello.")}).json()["id"]
        (folder / "a.wav").write_bytes(b"RIFF")
        services.store.finish(jobs[0], ["a.wav"])
        services.store.cancel(jobs[1])  # so that a stream of its events ends
        yield Server(client, app.openapi(), [*jobs, upload])


def values(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """What fits a schema, or nearly."""
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return st.one_of(*(values(own, whole) for own in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | TEXTS
    match schema.get("type"):
        case "object" if "properties" in schema:
            fields = {name: values(own, whole) | ANYTHING for name, own in schema["properties"].items()}
            return st.fixed_dictionaries({}, optional=fields)
        case "object":
            return st.dictionaries(FLAGS | TEXTS, NUMBERS | TEXTS | st.booleans(), max_size=3)
        case "integer":
            return st.integers(0, 3) | st.integers()
        case "number":
            return NUMBERS
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return st.lists(values(schema["items"], whole), max_size=3)
    return TEXTS | st.just("Hello there.")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_request_breaks_the_server(server, data):
    operation = data.draw(st.sampled_from(operations(server.schema)))
    path, query = operation.path, {}
    for parameter in operation.parameters:
        if parameter["in"] == "path":
            value = data.draw(
                st.sampled_from(server.ids) | TEXTS.filter(lambda text: text.strip("./") and text != "options")
            )
            path = path.replace(f"{{{parameter['name']}}}", quote(value.encode("utf-8", "surrogatepass"), safe=""))
        elif parameter["in"] == "query" and data.draw(st.booleans()):
            query[parameter["name"]] = data.draw(values(parameter["schema"], server.schema))
    headers = {name: value.encode("latin-1") for name, value in data.draw(HEADERS).items()}
    request = {
        "params": {name: str(value).encode("utf-8", "replace") for name, value in query.items()},
        "headers": headers,
    }
    if operation.body is not None and "application/json" in operation.body:
        fitting = values(operation.body["application/json"]["schema"], server.schema)
        request["content"] = json.dumps(data.draw(st.one_of(fitting, fitting, ANYTHING))).encode()
        headers.setdefault("Content-Type", b"application/json")
    elif operation.body is not None:
        content = data.draw(st.binary(max_size=40) | TEXTS.map(lambda text: text.encode("utf-8", "replace")))
        request["files"] = {data.draw(st.sampled_from(["file", "x"])): (data.draw(TEXTS), content)}
        headers.pop("Content-Type", None)
    if operation.method == "DELETE" and any(id in path for id in server.ids):
        return  # what other examples ask for
    answer = server.client.request(operation.method, path, **request)
    assert answer.status_code < 500, answer.text
    check_schema(server, operation, answer)


def check_schema(server: Server, operation: Operation, answer: Any) -> None:
    """The answer is one that the schema announces, with such a body."""
    status = str(answer.status_code)
    announced = operation.responses.get(status) or operation.responses.get(f"{status[0]}XX")
    if status[0] == "3":
        return  # to the address without a slash at its end
    assert announced is not None, (status, operation)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    content = announced.get("content", {})
    if kind == "application/json" and kind in content:
        schema = {**content[kind]["schema"], "components": server.schema["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())
    elif answer.content:
        assert kind in content or f"{kind.partition('/')[0]}/*" in content, (kind, operation)


def test_every_route_is_in_the_schema_with_its_errors(server):
    for operation in operations(server.schema):
        assert {"4XX", "5XX"} <= operation.responses.keys() and "422" not in operation.responses, operation
