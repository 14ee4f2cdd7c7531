"""/health and /metrics: whether the server works, and how much it does, as Prometheus reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from .. import __version__
from .job_views import JobState
from .services import Services

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(BaseModel):
    """`model` and `version` are only for those who may use the server."""

    status: Literal["ok"] = "ok"
    model: str | None = None
    version: str | None = None


class _Metric(NamedTuple):
    """One metric: samples are pairs of labels (as in `{state="running"}`, or "") and value."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[tuple[str, float], ...]

    def lines(self) -> Iterator[str]:
        """The lines of the text format."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            yield f"{self.name}{labels} {value:.10g}"


def health_routes(services: Services) -> APIRouter:
    """The routes /health, which needs no key, and /metrics."""
    router = APIRouter(tags=["health"])

    @router.get("/health")
    async def health(request: Request) -> Health:
        """Answers as soon as jobs are taken."""
        if not request.scope.get("bark_authorized", True):
            return Health()
        return Health(model=services.bark.name, version=__version__)

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        """Jobs, segments, real-time factor, batch fill and memory, in Prometheus' text format."""
        lines = (line for metric in _metrics(services) for line in metric.lines())
        return PlainTextResponse("\n".join([*lines, ""]), media_type=_METRICS_TYPE)

    return router


def _metrics(services: Services) -> Iterator[_Metric]:
    jobs = services.store.jobs()
    counts = ((state, sum(job.state is state for job in jobs)) for state in JobState)
    by_state = tuple((f'{{state="{state.value}"}}', float(count)) for state, count in counts)
    yield _Metric("bark_jobs", "gauge", "Jobs by state.", by_state)
    work = services.engine.statistics()
    yield _gauge("bark_segments_queued", "Segments that are ready and wait for a batch.", work.queued)
    yield _gauge("bark_segments_running", "Segments that are being generated.", work.running)
    yield _counter("bark_segments_total", "Segments that were generated.", work.segments)
    yield _counter("bark_batches_total", "Batches that were generated.", work.batches)
    yield _counter("bark_batch_rows_used_total", "Steps of rows that had a segment.", work.rows_used)
    yield _counter("bark_batch_rows_offered_total", "Steps of rows that the batches had.", work.rows_offered)
    yield _gauge("bark_batch_fill_ratio", "Share of the batches' rows that had a segment.", work.fill)
    yield _counter("bark_sound_seconds_total", "Seconds of sound that were generated.", work.sound_s)
    yield _counter("bark_busy_seconds_total", "Seconds for which the model was computing.", work.busy_s)
    factor = work.sound_s / work.busy_s if work.busy_s else 0.0
    yield _gauge("bark_real_time_factor", "Seconds of sound for each second of computing.", factor)
    yield _gauge(
        "bark_uploads_bytes", "Bytes of all uploads.", sum(upload.n_bytes for upload in services.uploads.all())
    )
    if (resident := resident_bytes()) is not None:
        yield _gauge("process_resident_memory_bytes", "Memory that the process has.", resident)
    if torch.cuda.is_available():
        yield _gauge("bark_gpu_memory_bytes", "Memory of the GPU that PyTorch has.", torch.cuda.memory_reserved())


def _gauge(name: str, help: str, value: float) -> _Metric:
    return _Metric(name, "gauge", help, (("", value),))


def _counter(name: str, help: str, value: float) -> _Metric:
    return _Metric(name, "counter", help, (("", value),))


def resident_bytes() -> int | None:
    """Memory that this process has, in bytes; None where the system does not tell it as Linux does."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
