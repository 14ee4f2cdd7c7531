"""The tokens of a finished clip, read from the files beside its manifest."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import constants as c
from ..errors import UsageError
from ..run.journal import KeptSegment, usable_tokens
from ..voices.npz import VOICE_ARRAYS, BoundedFile, read_member
from ..voices.voice import Voice
from .manifest import Manifest

_MAX_CONTENTS = 100 * 2**20  # bytes of the archive's table of contents, which has about 200 bytes per segment


_STAGES = ("semantic", "coarse", "fine", "codec")


class ClipTokens(Mapping[int, KeptSegment]):
    """The segments of a finished clip by index, read one at a time from the file beside its manifest.

    `places`: {index: which segment of the manifest it is}; None: all of them at their places. Raises UsageError if the file
    is missing or damaged.
    """

    def __init__(self, name: str, manifest: Manifest, places: Mapping[int, int] | None = None):
        self._name, self._manifest = name, manifest
        self._there = {k: k for k in range(len(manifest.segments))} if places is None else places
        path = Path(name)
        self._several = len(manifest.segments) > 1
        self._path = path.with_name(path.stem + (".segments.npz" if self._several else ".npz"))
        self._resources = contextlib.ExitStack()
        if self._there:
            try:
                file = BoundedFile(self._resources.enter_context(self._path.open("rb")), _MAX_CONTENTS)
                self._archive = self._resources.enter_context(zipfile.ZipFile(file))
            except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
                raise self._missing(getattr(error, "strerror", None) or error) from None

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[int]:
        return iter(self._there)

    def __contains__(self, k: object) -> bool:
        return k in self._there

    def __getitem__(self, k: int) -> KeptSegment:
        k = self._there[k]
        suffix = f"_{k}" if self._several else ""
        try:
            arrays = [usable_tokens(name, read_member(self._archive, f"{name}{suffix}.npy")) for name in VOICE_ARRAYS]
        except Exception as error:  # zip, zlib and the parser of array headers raise whatever they like
            raise self._missing(error) from None
        voice, recorded = Voice(*arrays), self._manifest.content["segments"][k]
        if voice.fine.shape[1] != recorded.get("frames"):
            raise self._missing(f"segment {k + 1} has {voice.fine.shape[1]} frames, not {recorded.get('frames')}")
        return KeptSegment(voice, _about(recorded))

    @property
    def seconds(self) -> float:
        """The total length of these segments in seconds."""
        frames = (self._manifest.content["segments"][k].get("frames") for k in self._there.values())
        return sum(n for n in frames if type(n) is int) / c.FRAME_RATE_HZ

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def _missing(self, reason: object) -> UsageError:
        return UsageError(
            f"--from_manifest {self._name}: the clip's tokens cannot be read from {self._path} ({str(reason)[:200]}); "
            "put that file beside the manifest, or make the clip again without --restitch or --regenerate"
        )


def _about(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """`KeptSegment.about` from a segment's entry in the manifest; for missing or damaged values there are defaults."""
    taken, cut = recorded.get("seconds_taken"), recorded.get("ids_cut")
    measured = {name: recorded.get(name) for name in ("entropy", "perplexity")}
    return {
        "cut_ids": cut if type(cut) is int else 0,
        "seconds_taken": {stage: _number(taken.get(stage) if isinstance(taken, dict) else 0) for stage in _STAGES},
        "statistics": measured if all(type(value) is float for value in measured.values()) else None,
        "ended": True,  # it was accepted when it was generated
        "tries": [{"seeds": recorded["seeds"], "faults": None}],
    }


def _number(value: object) -> float:
    return float(value) if type(value) is int or type(value) is float else 0.0
