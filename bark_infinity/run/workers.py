"""The interface between a run and the workers of a cluster: what workers tell of themselves, and what happens to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a message needs no torch
    from ..bark import Generation, Segment, Settings
    from ..model.spec import BarkSpec


@dataclass(frozen=True)
class WorkerDescription:
    """A loaded model on some machine: all that an engine must know of it."""

    machine: str  # host name
    versions: Mapping[str, str]  # of this program and of torch
    identity: str  # of the model, as `Engine.identity`
    spec: BarkSpec
    token_limits: Mapping[str, int]  # the vocabulary of each part of a history
    stages: Mapping[str, Mapping[str, str]]  # as `Engine.describe_stages`
    rows: int  # segments that fit into its memory side by side
    device: str  # for people


@dataclass(frozen=True)
class Reply:
    """A worker's answer to a batch: its generations, or why there are none."""

    generations: Sequence[Generation] = ()
    error: str | None = None
    out_of_memory: bool = False


@dataclass(frozen=True)
class WorkerReady:
    """A worker has loaded its model and waits for batches."""

    worker: str
    description: WorkerDescription


@dataclass(frozen=True)
class WorkerLost:
    """A worker has died or could not be started; its batch is lost."""

    worker: str
    reason: str


@dataclass(frozen=True)
class BatchDone:
    """A batch is finished. `generations`: in the order of its segments; without audio if none was asked for."""

    number: int
    generations: Sequence[Generation]


@dataclass(frozen=True)
class BatchFailed:
    """A batch raised an exception, which its worker survived."""

    number: int
    reason: str
    out_of_memory: bool = False


WorkerEvent = WorkerReady | WorkerLost | BatchDone | BatchFailed


class WorkerPool(Protocol):
    """Starts workers wherever there is room for one, also on machines that join later, and passes batches to them."""

    @property
    def n_starting(self) -> int:
        """Workers that are being started, or will be in place of lost or refused ones: 0 if no other is to be expected."""

    def begin(
        self, number: int, worker: str, segments: Sequence[Segment], settings: Settings, rows: int, with_audio: bool
    ) -> None:
        """Start a batch on a worker that is ready and idle. An event with its `number` tells its end."""

    def wait(self, seconds: float) -> Sequence[WorkerEvent]:
        """What has happened; waits for it at most so many seconds. A lost worker is replaced, but not for ever."""

    def refuse(self, worker: str) -> None:
        """End a worker, and start no other in its place."""

    def restart(self, worker: str) -> None:
        """End a worker that does not answer, without an event; another is started in its place, but not for ever."""

    def close(self) -> None:
        """End all workers."""
