"""/health and /metrics."""

from __future__ import annotations

import re

from fake_server import make_services
from starlette.testclient import TestClient

from bark_infinity import __version__
from bark_infinity.server.app import make_app

LINE = re.compile(
    r'(?P<name>[a-z_:][a-z0-9_:]*)(?:\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (?P<value>-?[0-9.e+]+)'
)


def client(folder) -> TestClient:
    return TestClient(make_app(make_services(folder)), "http://127.0.0.1:7860")


def test_health(tmp_path):
    assert client(tmp_path).get("/health").json() == {"status": "ok", "model": "fake", "version": __version__}


def test_metrics_are_prometheus_text(tmp_path):
    asked = client(tmp_path)
    asked.post("/v1/jobs", json={"text": "Hello."})
    answer = asked.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    kinds, samples = {}, {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match is not None, line
            assert match["name"] in kinds
            samples[line.rpartition(" ")[0]] = float(match["value"])
    assert samples['bark_jobs{state="waiting"}'] == 1 and samples['bark_jobs{state="running"}'] == 0
    assert (samples["bark_segments_queued"], samples["bark_batch_fill_ratio"]) == (3, 0.9)
    assert samples["bark_real_time_factor"] == 3
    assert samples["process_resident_memory_bytes"] > 1e7
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds.items())
