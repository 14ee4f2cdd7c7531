"""Workers as Ray actors: one for each GPU of a Ray cluster, or for some cores of each machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bark import Segment, Settings
from ..checkpoints.loading import ModelChoice
from ..errors import UsageError
from ..extras import missing_extra
from .cluster_worker import ClusterWorker
from .workers import BatchDone, BatchFailed, Reply, WorkerDescription, WorkerEvent, WorkerLost, WorkerReady

_CORES = 8  # of a worker without a GPU
_DEFAULT_PORT = 6379  # of `ray start --head`
_PORT_S = 5.0  # within which a cluster must answer
_LOOK_EVERY_S = 5.0  # for machines that have joined or left
_MOST_LOSSES = 5  # of workers in one place, one after the other without a finished batch, before it is left alone
_LONGEST_REASON, _LONGEST_MESSAGE = 200, 400  # characters


# ---- connecting -----------------------------------------------------------------------------------------------------


def connect(cluster: str) -> None:
    """Connect to the Ray cluster of --cluster, or start Ray on this machine.

    Raises UsageError; if nothing answers at the address, or the token is wrong, within about 5 s.
    """
    try:
        import ray
    except ImportError:
        raise missing_extra("--cluster", "cluster") from None
    address = _address(cluster)
    if address is not None and _refuses_token(address):
        raise UsageError(
            f"--cluster {cluster}: the cluster has a token, and this machine has another one or none; copy the head's "
            "~/.ray/auth_token here, and set RAY_AUTH_MODE=token"
        )
    handler = signal.getsignal(signal.SIGTERM)
    own = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, configure_logging=False, **own)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UsageError(
            f"--cluster {cluster} cannot be used ({_in_a_line(error)}); see docs/cluster.md, or leave the flag out"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own in its place


def _address(cluster: str) -> str | None:
    """The address, host:port, of a cluster that answers; None: Ray is started on this machine. Raises UsageError."""
    if cluster == "local":
        return None
    if cluster == "auto":
        from ray._private.services import canonicalize_bootstrap_address  # what address="auto" does, without waiting

        found: str | None = canonicalize_bootstrap_address("auto")
        return found if found is not None and _silence_of(found) is None else None
    if "://" in cluster:
        raise UsageError(
            f"--cluster {cluster}: give host:port of the head, as in --cluster 10.0.0.5:6379, and run the command on a "
            "machine of the cluster (after ray start --address=host:port there)"
        )
    address = cluster if ":" in cluster else f"{cluster}:{_DEFAULT_PORT}"
    if (reason := _silence_of(address)) is not None:
        raise UsageError(
            f"--cluster {cluster}: no Ray cluster answers there ({reason}); check host and port, or start one there with "
            "ray start --head"
        )
    return address


def _silence_of(address: str) -> str | None:
    """Why nothing answers at host:port; None if something does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PORT_S):
            return None
    except (OSError, ValueError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)


def _refuses_token(address: str) -> bool:
    """Whether the cluster does not accept the token of this process, which ray.init would try again for 20 s."""
    import ray

    try:  # parts of Ray that another version may not have; its ray.init then says what is wrong
        from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without annotations
        from ray.exceptions import AuthenticationError
    except ImportError:
        return False
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)  # without one, the client would end the process
        with _without_stderr():
            GcsClient(address=address)
    except AuthenticationError:
        return True
    except (RuntimeError, ray.exceptions.RayError):  # ray.init meets it again
        return False
    return False


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Nothing is written to the process's stderr, also by compiled code, which tells there what its exception says too."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _in_a_line(error: BaseException) -> str:
    """The message of an exception without its line breaks; Ray names versions that differ in lines of their own."""
    return " ".join(str(error).split())[:_LONGEST_MESSAGE] or type(error).__name__


def _in_short(error: BaseException) -> str:
    """The last line of an exception's message, which for Ray's says what has happened; of a long one, whole sentences."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    line = lines[-1]
    return (
        line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON].rpartition(". ")[0] or line[:_LONGEST_REASON]
    )


# ---- workers --------------------------------------------------------------------------------------------------------


@dataclass
class _Place:
    """Where a worker can be: some cores or a GPU of a machine."""

    node: str  # Ray's id of the machine
    name: str
    cores: int
    gpus: int
    actor: Any = None
    worker: str = ""  # the name of the worker that is or was there; each has another
    n_started: int = 0
    n_lost: int = 0  # since the last finished batch
    refused: bool = False

    @property
    def usable(self) -> bool:
        return not self.refused and self.n_lost < _MOST_LOSSES


class RayPool:
    """A `WorkerPool` of Ray actors, after `connect`. `workers`: at most so many; None: as many as there are places.

    Every actor loads the model of `choice` itself, by its name or path. Ray repeats nothing: its retries would hide what
    the dispatcher must know. Raises UsageError if no machine has what the workers need.
    """

    def __init__(self, choice: ModelChoice, settings: Settings, workers: int | None = None):
        self._settings, self._workers = settings, workers
        self._nodes = _alive_nodes()
        with_gpus = choice.device in ("auto", "cuda") and any(_amount(node, "GPU") for node in self._nodes)
        if choice.device == "cuda" and not with_gpus:
            raise UsageError(
                "--device cuda: no machine of the cluster has a GPU that Ray knows of; start ray there with --num-gpus, "
                "or use --device cpu"
            )
        device = "cuda" if with_gpus else "cpu" if choice.device == "auto" else choice.device
        self._choice = _for_all_machines(choice, device)
        self._with_gpus = with_gpus
        total = sum(_amount(node, "CPU") for node in self._nodes)
        self._cores = max(1, min(_CORES, total // (workers or 1)))
        self._places: dict[tuple[str, int], _Place] = {}  # by node and number there
        self._refs: dict[
            Any, tuple[_Place, str, int | None]
        ] = {}  # answers to come: place, worker, batch (None: it starts)
        self._on_host: Counter[str] = Counter()
        self._next_look = 0.0
        self._look()
        if not self._places:
            raise UsageError("no machine of the cluster has cores for workers; start ray there with --num-cpus")

    @property
    def n_starting(self) -> int:
        return sum(number is None for _, _, number in self._refs.values()) + len(self._free_places())

    def begin(
        self, number: int, worker: str, segments: Sequence[Segment], settings: Settings, rows: int, with_audio: bool
    ) -> None:
        place = self._place_of(worker)
        ref = place.actor.generate.remote(segments, settings, rows, with_audio)
        self._refs[ref] = place, worker, number

    def wait(self, seconds: float) -> Sequence[WorkerEvent]:
        import ray

        if time.monotonic() >= self._next_look:
            self._look()
        refs = list(self._refs)
        if not refs:
            time.sleep(seconds)
            return ()
        ready, _ = ray.wait(refs, num_returns=1, timeout=seconds)
        if ready and len(refs) > 1:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        return [event for ref in ready if (event := self._event_of(ref)) is not None]

    def refuse(self, worker: str) -> None:
        place = self._place_of(worker)
        place.refused = True
        self._end(place)

    def restart(self, worker: str) -> None:
        place = self._place_of(worker)
        place.n_lost += 1
        self._end(place)

    def close(self) -> None:
        import ray

        for place in self._places.values():
            self._end(place)
        ray.shutdown()

    # ---- starting and ending ----

    def _look(self) -> None:
        """Start workers in places that have none, also of machines that have joined, and forget machines that have left."""
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        self._nodes = _alive_nodes()
        alive = {node["NodeID"] for node in self._nodes}
        self._places = {key: place for key, place in self._places.items() if place.node in alive or place.actor}
        for node in self._nodes:
            for number in range(self._workers_of(node)):
                if (node["NodeID"], number) not in self._places:
                    self._add_place(node, number)
        for place in self._free_places():
            self._start(place)

    def _workers_of(self, node: Mapping[str, Any]) -> int:
        """How many workers a machine has place for."""
        if self._with_gpus:
            return _amount(node, "GPU")
        cores = _amount(node, "CPU")
        return max(1, cores // self._cores) if cores else 0

    def _free_places(self) -> list[_Place]:
        """Where the next look will start workers, unless their machines have left meanwhile."""
        alive = {node["NodeID"] for node in self._nodes}
        free = [
            place for place in self._places.values() if place.actor is None and place.usable and place.node in alive
        ]
        if self._workers is None:
            return free
        return free[: max(0, self._workers - sum(place.actor is not None for place in self._places.values()))]

    def _add_place(self, node: Mapping[str, Any], number: int) -> None:
        host = node["NodeManagerHostname"]
        name = f"{host}:{self._on_host[host]}"
        self._on_host[host] += 1
        cores = 0 if self._with_gpus else min(self._cores, _amount(node, "CPU"))
        self._places[node["NodeID"], number] = _Place(node["NodeID"], name, cores, int(self._with_gpus))

    def _start(self, place: _Place) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place.n_started += 1
        place.worker = place.name if place.n_started == 1 else f"{place.name}.{place.n_started}"
        place.actor = (
            ray.remote(ClusterWorker)
            .options(
                num_cpus=place.cores,
                num_gpus=place.gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
            )
            .remote(self._choice, self._settings)
        )
        self._refs[place.actor.describe.remote()] = place, place.worker, None

    def _end(self, place: _Place) -> None:
        import ray

        if place.actor is not None:
            ray.kill(place.actor)
            place.actor = None
            self._next_look = 0.0  # another one is started there, or elsewhere in its stead

    def _place_of(self, worker: str) -> _Place:
        return next(place for place in self._places.values() if place.worker == worker)

    # ---- answers ----

    def _event_of(self, ref: Any) -> WorkerEvent | None:
        """What an answer tells; None for one that does not matter any more."""
        import ray

        place, worker, number = self._refs.pop(ref)
        try:
            answer = ray.get(ref)
        except (ray.exceptions.RayError, RuntimeError) as error:
            return self._lose(place, worker, _in_short(error))
        if isinstance(answer, str):  # its model cannot be loaded, and never will be
            place.refused = True
            return self._lose(place, worker, answer)
        if isinstance(answer, WorkerDescription):
            return WorkerReady(worker, answer)
        assert isinstance(answer, Reply) and number is not None
        if answer.error is not None:
            return BatchFailed(number, answer.error[:_LONGEST_REASON], answer.out_of_memory)
        place.n_lost = 0
        return BatchDone(number, answer.generations)

    def _lose(self, place: _Place, worker: str, reason: str) -> WorkerLost | None:
        if place.actor is None or place.worker != worker:
            return None  # refused, or lost before
        self._end(place)
        place.n_lost += 1
        return WorkerLost(worker, reason)


def _alive_nodes() -> list[Mapping[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _amount(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))


def _for_all_machines(choice: ModelChoice, device: str) -> ModelChoice:
    """The choice as workers take it: on this device, and with whole paths, as they have other current folders."""
    model = os.path.abspath(choice.model) if os.path.isdir(choice.model) else choice.model
    folder = None if choice.model_dir is None else os.path.abspath(choice.model_dir)
    return dataclasses.replace(choice, model=model, device=device, model_dir=folder)
