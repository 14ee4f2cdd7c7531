"""Workers as Ray actors, on a small real cluster: death, exceptions, machines that leave and join, the end of the driver.

The workers load no model (but for one test), so that they start in a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

from ray._private.authentication_test_utils import reset_auth_token_state  # noqa: E402
from ray.cluster_utils import Cluster as RayCluster  # noqa: E402

from bark_infinity.cli.main import main  # noqa: E402
from bark_infinity.errors import UsageError  # noqa: E402
from bark_infinity.run import ray_pool  # noqa: E402
from bark_infinity.run.ray_pool import RayPool  # noqa: E402
from bark_infinity.run.workers import BatchDone, BatchFailed, WorkerEvent, WorkerLost, WorkerReady  # noqa: E402

pytestmark = pytest.mark.xdist_group("ray")  # one cluster, in one process
ROOT = Path(__file__).parents[2]
_PATIENCE_S = 120.0  # on a busy machine
TOKEN = "5a" * 32


@dataclass(frozen=True)
class Choice:
    """Stands for a ModelChoice, which would import torch in every worker."""

    model: str
    device: str = "auto"
    model_dir: str | None = None


class Parrot:
    """A worker without a model: answers with the process id and what it was given."""

    def __init__(self, choice: Choice, settings: None):
        if choice.model == "broken":
            raise OSError("no such disk")
        self._model = choice.model

    def describe(self):
        from bark_infinity.run.workers import WorkerDescription

        if self._model == "absent":
            return "the model absent is not here; copy it"
        return WorkerDescription("here", {}, str(os.getpid()), None, {}, {}, 1, "CPU")

    def generate(self, segments, settings, rows, with_audio):
        from bark_infinity.run.workers import Reply

        if segments == ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if segments == ["sleep"]:
            time.sleep(60)
        if segments == ["fail"]:
            return Reply(error="ValueError: poison")
        return Reply(list(segments))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[RayCluster]:
    """A head without cores, and a machine for one worker.

    Ray counts a machine that is killed as alive for some fifteen seconds, so the only test that kills one comes last.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        reset_auth_token_state()  # Ray has read these variables when it was imported
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        made = RayCluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.add_node(num_cpus=1)
        yield made
        ray.shutdown()
        made.shutdown()
    reset_auth_token_state()


@pytest.fixture
def connected(cluster, monkeypatch) -> Iterator[RayCluster]:
    monkeypatch.setattr(ray_pool, "ClusterWorker", Parrot)
    monkeypatch.setattr(ray_pool, "_LOOK_EVERY_S", 0.2)
    handler = signal.getsignal(signal.SIGTERM)
    ray_pool.connect(cluster.address)
    assert signal.getsignal(signal.SIGTERM) is handler
    yield cluster
    ray.shutdown()


def until(pool: RayPool, kind: type, n: int = 1) -> list[WorkerEvent]:
    """Wait for so many events of a kind; all events until then."""
    seen: list[WorkerEvent] = []
    end = time.monotonic() + _PATIENCE_S
    while sum(isinstance(event, kind) for event in seen) < n:
        assert time.monotonic() < end, seen
        seen += pool.wait(0.2)
    return seen


def test_workers_die_and_fail(connected):
    pool = RayPool(Choice("fine"), None)
    (ready,) = until(pool, WorkerReady)
    assert isinstance(ready, WorkerReady) and pool.n_starting == 0
    first = ready.worker

    pool.begin(7, first, ["a", "b"], None, 1, False)
    (done,) = until(pool, BatchDone)
    assert done == BatchDone(7, ["a", "b"])
    pool.begin(8, first, ["fail"], None, 1, False)
    (failed,) = until(pool, BatchFailed)
    assert failed == BatchFailed(8, "ValueError: poison")

    pool.begin(9, first, ["die"], None, 1, False)
    lost, ready = until(pool, WorkerReady)  # another one takes its place
    assert isinstance(lost, WorkerLost) and lost.worker == first
    assert isinstance(ready, WorkerReady) and ready.worker == f"{first}.2"
    pool.begin(10, ready.worker, ["still here"], None, 1, True)
    assert until(pool, BatchDone) == [BatchDone(10, ["still here"])]
    pool.refuse(ready.worker)
    assert pool.n_starting == 0


def test_worker_that_cannot_start_is_not_tried_for_ever(connected):
    pool = RayPool(Choice("broken"), None)
    events = until(pool, WorkerLost, ray_pool._MOST_LOSSES)
    assert all(isinstance(event, WorkerLost) and "no such disk" in event.reason for event in events), events
    assert pool.n_starting == 0


def test_worker_without_the_model_is_lost_with_its_reason_and_not_tried_again(connected):
    pool = RayPool(Choice("absent"), None)
    (lost,) = until(pool, WorkerLost)
    assert isinstance(lost, WorkerLost) and lost.reason == "the model absent is not here; copy it"
    assert pool.n_starting == 0


def test_cluster_without_gpus_is_told_at_once(connected):
    with pytest.raises(UsageError, match="no machine of the cluster has a GPU"):
        RayPool(Choice("fine", device="cuda"), None)


DRIVER = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
import test_ray_pool as own
import ray
from bark_infinity.run import ray_pool
ray.cloudpickle.register_pickle_by_value(own)
ray_pool.ClusterWorker = own.Parrot
ray_pool.connect({address!r})
pool = ray_pool.RayPool(own.Choice("fine"), None)
(ready,) = own.until(pool, own.WorkerReady)
pool.begin(0, ready.worker, ["sleep"], None, 1, False)
print(ready.description.identity, flush=True)
pool.wait(1000)
"""


def test_workers_end_with_their_driver(cluster):
    code = DRIVER.format(tests=str(ROOT / "tests" / "run"), root=str(ROOT), address=cluster.address)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        os.kill(worker, 0)
        driver.kill()
    end = time.monotonic() + _PATIENCE_S
    while _is_alive(worker):
        assert time.monotonic() < end
        time.sleep(0.2)


def _is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_command_line_gives_the_sound_of_a_local_run(cluster, huggingface_folder, capfd):
    text = "One dog is here. Two cats are there. Three birds are away."
    line = ["--model", str(huggingface_folder), "--device", "cpu", "--dtype", "float32", "--seed", "3"]
    line += ["--text_prompt", text, "--semantic_max_gen_duration_s", "0.3", "--split_each_text_prompt_by", "sentence"]
    assert main([*line, "--output_dir", "local"]) == 0
    assert main([*line, "--output_dir", "far", "--cluster", cluster.address]) == 0
    shown = capfd.readouterr().err
    assert "1 worker on 1 machine" in shown and "Ray" not in shown.replace("what Ray logs", "") and "INFO" not in shown
    (local,), (far,) = Path("local").glob("*.wav"), Path("far").glob("*.wav")
    assert local.read_bytes() == far.read_bytes()
    assert '"worker": "' in far.with_suffix(".json").read_text()


@pytest.mark.parametrize(
    "token", [{"RAY_AUTH_TOKEN": "a5" * 32}, {"RAY_AUTH_TOKEN": ""}, {"RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": ""}]
)
def test_wrong_or_missing_token_is_told_in_a_sentence(cluster, tmp_path, token):
    start = time.monotonic()
    line = [sys.executable, str(ROOT / "bark_perform.py"), "--model", "demo", "--text_prompt", "Hi."]
    environment = {name: value for name, value in {**os.environ, "HOME": str(tmp_path), **token}.items() if value}
    told = subprocess.run([*line, "--cluster", cluster.address], capture_output=True, text=True, env=environment)
    assert told.returncode == 2 and time.monotonic() - start < 15
    *before, last = told.stderr.splitlines()
    assert len(before) <= 1 and last.startswith(f"error: --cluster {cluster.address}: the cluster has a token"), (
        told.stderr
    )


def test_machines_join_and_leave(connected):
    pool = RayPool(Choice("fine"), None)
    (first,) = until(pool, WorkerReady)
    node = connected.add_node(num_cpus=1)
    (joined,) = until(pool, WorkerReady)
    assert isinstance(first, WorkerReady) and isinstance(joined, WorkerReady) and joined.worker != first.worker
    pool.begin(1, joined.worker, ["sleep"], None, 1, False)
    pool.wait(0.5)
    connected.remove_node(node, allow_graceful=False)
    (lost,) = until(pool, WorkerLost)
    assert isinstance(lost, WorkerLost) and lost.worker == joined.worker
    pool.begin(2, first.worker, ["still here"], None, 1, False)
    assert until(pool, BatchDone)[-1] == BatchDone(2, ["still here"])


def test_dead_address_is_told_in_a_sentence():
    start = time.monotonic()
    with pytest.raises(UsageError, match="no Ray cluster answers there"):
        ray_pool.connect("127.0.0.1:1")
    with pytest.raises(UsageError, match="give host:port"):
        ray_pool.connect("ray://127.0.0.1:10001")
    assert time.monotonic() - start < 15


def test_missing_ray_is_told_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'pip install "bark-infinity\[cluster\]"'):
        ray_pool.connect("auto")
