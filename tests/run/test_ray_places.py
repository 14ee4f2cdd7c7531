"""Where a RayPool starts workers and how many are still to come, with Ray in its scripted form: no process, no waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from bark_infinity.run import ray_pool
from bark_infinity.run.ray_pool import RayPool
from bark_infinity.run.workers import WorkerDescription, WorkerEvent, WorkerLost, WorkerReady

LOADED = WorkerDescription("here", {}, "it", None, {}, {}, 1, "CPU")  # type: ignore[arg-type]
Answer = WorkerDescription | str | Exception | None
"""Of an actor that is asked for its description; None: none yet."""


@dataclass(frozen=True)
class Choice:
    """Stands for a ModelChoice, which would import torch."""

    model: str = "it"
    device: str = "auto"
    model_dir: str | None = None


@dataclass(eq=False)
class Actor:
    """An actor on a machine. The answer to its only question is given by `FakeRay.answer`."""

    node: str
    killed: bool = False
    answer: Answer = None

    @property
    def describe(self) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda: self)  # its own reference


@dataclass
class FakeRay(ModuleType):
    """What RayPool uses of the module ray. `machines`: processors of each that counts as alive."""

    machines: dict[str, int]
    actors: list[Actor] = field(default_factory=list)

    class RayError(Exception):
        pass

    exceptions = SimpleNamespace(RayError=RayError)

    def nodes(self) -> list[dict[str, object]]:
        return [
            {"NodeID": name, "Alive": True, "NodeManagerHostname": name, "Resources": {"CPU": cores}}
            for name, cores in self.machines.items()
        ]

    def remote(self, _: type) -> SimpleNamespace:
        def options(scheduling_strategy: SimpleNamespace, **_: object) -> SimpleNamespace:
            return SimpleNamespace(remote=lambda *_: self._start(scheduling_strategy.node))

        return SimpleNamespace(options=options)

    def _start(self, node: str) -> Actor:
        self.actors.append(Actor(node))
        return self.actors[-1]

    def wait(self, refs: Sequence[Actor], **_: object) -> tuple[list[Actor], list[Actor]]:
        return [ref for ref in refs if ref.answer is not None], []

    def get(self, actor: Actor) -> WorkerDescription | str:
        assert actor.answer is not None
        if isinstance(actor.answer, Exception):
            raise actor.answer
        return actor.answer

    def kill(self, actor: Actor) -> None:
        actor.killed = True


@pytest.fixture
def start_ray(monkeypatch) -> Callable[..., FakeRay]:
    def start(**machines: int) -> FakeRay:
        fake = FakeRay(machines)
        strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: SimpleNamespace(node=node))
        monkeypatch.setitem(sys.modules, "ray", fake)
        monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
        monkeypatch.setattr(ray_pool, "_LOOK_EVERY_S", 0.0)  # as if it were time at every call
        return fake

    return start


def wait(pool: RayPool) -> Sequence[WorkerEvent]:
    return pool.wait(0.0)


def test_a_run_with_one_worker_expects_another_when_it_is_lost(start_ray):
    """The count is read between the loss and the next call of `wait`, in which the other one is started."""
    fake = start_ray(a=8)
    pool = RayPool(Choice(), None)
    for name in ("a:0", *(f"a:0.{number}" for number in range(2, ray_pool._MOST_LOSSES + 1))):
        assert pool.n_starting == 1 and not wait(pool)
        fake.actors[-1].answer = FakeRay.RayError("gone")
        assert wait(pool) == [WorkerLost(name, "gone")]
    assert pool.n_starting == 0 and not wait(pool) and len(fake.actors) == ray_pool._MOST_LOSSES


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("A trace.\n  OSError: no disk. Put one in.\n", "OSError: no disk. Put one in."),
        ("It is dead. It had died. " + "Some causes " * 30, "It is dead. It had died"),
        ("x" * 300, "x" * 200),
        ("", "RayError"),
    ],
)
def test_reasons_are_short_and_end_with_a_sentence(start_ray, message, reason):
    fake = start_ray(a=8)
    pool = RayPool(Choice(), None)
    fake.actors[0].answer = FakeRay.RayError(message)
    assert wait(pool) == [WorkerLost("a:0", reason)]


def test_none_is_expected_where_the_model_is_absent(start_ray):
    fake = start_ray(a=8)
    pool = RayPool(Choice(), None)
    fake.actors[0].answer = "not here; copy it"
    assert wait(pool) == [WorkerLost("a:0", "not here; copy it")]
    assert pool.n_starting == 0 and not wait(pool) and pool.n_starting == 0 and len(fake.actors) == 1


def test_machine_that_is_gone_is_expected_until_ray_has_noticed(start_ray):
    """A machine without power counts as alive for some seconds, and an actor on it as one that starts."""
    fake = start_ray(a=8, gone=8)
    pool = RayPool(Choice(), None)
    absent, pending = fake.actors
    absent.answer = "not here; copy it"
    wait(pool)
    assert not wait(pool) and pool.n_starting == 1
    del fake.machines["gone"]
    assert not wait(pool) and pool.n_starting == 1
    pending.answer = FakeRay.RayError("never ran")
    assert wait(pool) == [WorkerLost("gone:0", "never ran")]
    assert pool.n_starting == 0 and not wait(pool) and len(fake.actors) == 2


def test_lost_with_its_machine_is_not_expected_after_the_next_look(start_ray):
    fake = start_ray(a=8)
    pool = RayPool(Choice(), None)
    fake.actors[0].answer = FakeRay.RayError("gone")
    wait(pool)
    del fake.machines["a"]
    assert not wait(pool) and pool.n_starting == 0 and len(fake.actors) == 1


def test_another_place_is_used_in_stead_of_a_refused_worker(start_ray):
    """With --workers 1 and two machines."""
    fake = start_ray(a=8, b=8)
    pool = RayPool(Choice(), None, workers=1)
    fake.actors[0].answer = LOADED
    assert wait(pool) == [WorkerReady("a:0", LOADED)] and pool.n_starting == 0
    pool.refuse("a:0")
    assert fake.actors[0].killed and pool.n_starting == 1
    wait(pool)
    assert [actor.node for actor in fake.actors] == ["a", "b"] and pool.n_starting == 1


def test_worker_that_does_not_answer_is_ended_and_another_started(start_ray):
    fake = start_ray(a=8)
    pool = RayPool(Choice(), None)
    fake.actors[0].answer = LOADED
    wait(pool)
    pool.restart("a:0")
    assert fake.actors[0].killed and pool.n_starting == 1 and not wait(pool)
    fake.actors[1].answer = LOADED
    assert wait(pool) == [WorkerReady("a:0.2", LOADED)]


def test_machine_that_joins_gets_workers(start_ray):
    fake = start_ray(a=8)
    pool = RayPool(Choice(), None)
    fake.machines["b"] = 16
    wait(pool)
    assert [actor.node for actor in fake.actors] == ["a", "b", "b"] and pool.n_starting == 3
