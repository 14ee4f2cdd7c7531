"""--cluster on the command line: the log file, the table of workers, and errors before anything is made."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import Hashing
from pool import FakePool, cluster_of
from rich.console import Console

from bark_infinity.bark import Settings
from bark_infinity.checkpoints.loading import ModelChoice
from bark_infinity.cli import machines
from bark_infinity.errors import DeviceError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run import ray_pool
from bark_infinity.run.cluster import WorkerTotals


@pytest.fixture(autouse=True)
def _rays_logger() -> Iterator[None]:
    logger = logging.getLogger("ray")
    before = logger.parent, logger.propagate, list(logger.handlers)
    yield
    logger.parent, logger.propagate, logger.handlers = before


def test_rays_messages_go_to_a_file_and_not_to_the_terminal(capfd):
    path = machines.log_to_file()
    assert isinstance(path, Path) and path.is_relative_to(Path("cache").absolute())
    logging.getLogger("ray").handlers.clear()  # as ray.init does
    logging.getLogger("ray.some.part").error("noise")
    assert "noise" in path.read_text()
    assert "noise" not in "".join(capfd.readouterr())


def test_errors_that_ray_prints_on_stdout_go_there_too(monkeypatch, capfd):
    worker = pytest.importorskip("ray._private.worker")
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)  # restored afterwards
    path = machines.log_to_file()
    worker.print_to_stdstream(
        {"lines": ["Raylet is terminated"], "pid": "raylet", "is_err": False}, ignore_prefix=False
    )
    assert isinstance(path, Path) and "Raylet is terminated" in path.read_text()
    assert "".join(capfd.readouterr()) == ""


def test_log_file_that_cannot_be_written_is_no_obstacle(monkeypatch):
    Path("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", "file")
    assert machines.log_to_file() == "/dev/null"
    logging.getLogger("ray").error("noise")


def test_table_shows_what_each_worker_has_done():
    engine = Hashing()
    cluster, _ = cluster_of(FakePool(engine, {"a": 0.0}), engine)
    cluster.totals.clear()
    cluster.totals |= {
        "titan:0": WorkerTotals("titan", "NVIDIA H200", 90, 900.0, 45.0),
        "titan:1": WorkerTotals("titan", "NVIDIA H200", 80, 800.0, 40.0, failures=2),
        "desk:0": WorkerTotals("desk", "CPU, 8 threads", 3, 30.0, 60.0),
        "unused:0": WorkerTotals("unused", "CPU, 1 thread"),
    }
    console = Console(file=io.StringIO(), width=120, color_system=None)
    machines.show_workers(console, cluster, 63.0)
    shown = console.file.getvalue()
    assert "3 workers on 2 machines, 1:03" in shown and "unused" not in shown
    lines = {line.split()[1]: line for line in shown.splitlines() if len(line.split()) > 2}
    assert all(word in lines["titan:1"] for word in ("80", "800.0 s", "40.0 s", "20x", "2"))
    assert all(word in lines["all"] for word in ("173", "1730.0 s", "145.0 s", "12x"))


def test_workers_are_ended_when_none_can_be_used(monkeypatch):
    class Empty(FakePool):
        def __init__(self, choice: ModelChoice, settings: Settings, workers: int | None):
            super().__init__(Hashing(), {})
            pools.append(self)

    pools: list[FakePool] = []
    monkeypatch.setattr(ray_pool, "connect", lambda cluster: None)
    monkeypatch.setattr(ray_pool, "RayPool", Empty)
    options, console = resolve(Options(model="demo", cluster="local", workers=3)), Console(file=io.StringIO())
    with pytest.raises(DeviceError, match="none could be started"):
        machines.open_cluster(options, ModelChoice("demo"), console)
    assert pools[0].closed
    assert "--workers 3: there is place for 0 now" in " ".join(console.file.getvalue().split())
