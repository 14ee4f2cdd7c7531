"""What runs on the machines of a cluster: a loaded Bark that generates one batch after the other."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from .. import __version__
from ..bark import Bark, Segment, Settings
from ..checkpoints.loading import ModelChoice, load_models
from ..errors import BarkError
from ..model.devices import is_out_of_memory, use_physical_cores
from .workers import Reply, WorkerDescription


def own_versions() -> Mapping[str, str]:
    """Versions of this process that tokens depend on, without the part that says for which GPU torch was built."""
    return {"bark_infinity": __version__, "torch": torch.__version__.split("+")[0]}


class _Loaded(Bark):
    """A Bark that decodes audio only if that is asked for."""

    with_audio = True

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return super().decode(codes) if self.with_audio else [np.zeros(0, np.float32) for _ in codes]


class ClusterWorker:
    """Loads a model and generates batches with it. Errors are returned, because not every exception can be sent."""

    def __init__(self, choice: ModelChoice, settings: Settings):
        """`settings`: those of the run, for which the batch size is chosen."""
        use_physical_cores()
        self._settings = settings
        self._bark: _Loaded | None = None
        self._error: str | None = None
        try:
            self._bark = _Loaded(load_models(choice), choice)
        except BarkError as error:
            self._error = str(error)

    def describe(self) -> WorkerDescription | str:
        """What the run must know of this worker; or why it cannot be used."""
        bark = self._bark
        if bark is None:
            assert self._error is not None
            return self._error
        return WorkerDescription(
            platform.node(),
            own_versions(),
            bark.identity,
            bark.spec,
            bark.token_limits,
            bark.describe_stages(),
            bark.rows_at_once(self._settings),
            _device_of(bark),
        )

    def generate(self, segments: Sequence[Segment], settings: Settings, rows: int, with_audio: bool) -> Reply:
        """Generate a batch; without audio, only its tokens."""
        assert self._bark is not None
        self._bark.with_audio = with_audio
        try:
            return Reply(self._bark.generate(segments, settings, rows=rows))
        except Exception as error:  # whatever it is: this worker goes on, and the run decides
            out_of_memory = isinstance(error, RuntimeError) and is_out_of_memory(error)
            return Reply(error=f"{type(error).__name__}: {error}", out_of_memory=out_of_memory)


def _device_of(bark: Bark) -> str:
    """The device of the semantic stage in words."""
    device = bark.stages["semantic"].placement.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else device.type
