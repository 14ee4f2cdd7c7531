"""The tokens of a finished clip, and of other takes of its segments, read from the files beside its manifest."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import constants as c
from ..errors import UsageError
from ..run.journal import KeptSegment, usable_tokens
from ..run.takes import RecordedTakes, Try
from ..voices.npz import VOICE_ARRAYS, BoundedFile, read_member
from ..voices.voice import Voice
from .manifest import Manifest

_MAX_CONTENTS = 100 * 2**20  # bytes of the archive's table of contents, which has about 200 bytes per segment


_STAGES = ("semantic", "coarse", "fine", "codec")


class ClipTokens(Mapping[int, KeptSegment]):
    """The segments of a finished clip by index, read one at a time from the file beside its manifest.

    `places`: {index: which segment of the manifest it is}; None: all of them at their places. `takes`: {segment of the
    manifest: index of the take that is used of it}; that of the clip where none is given. Raises UsageError if the file is
    missing or damaged, or lacks one of these takes.
    """

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        places: Mapping[int, int] | None = None,
        takes: Mapping[int, int] | None = None,
    ):
        self._name, self._manifest, self._takes = name, manifest, takes or {}
        self._there = {k: k for k in range(len(manifest.segments))} if places is None else places
        path = Path(name)
        all_tokens = path.with_name(f"{path.stem}.segments.npz")
        self._has_all = len(manifest.segments) > 1 or all_tokens.exists()  # of one segment, where its takes were kept
        self._path = all_tokens if self._has_all else path.with_name(f"{path.stem}.npz")
        self._resources = contextlib.ExitStack()
        self._members: frozenset[str] = frozenset()
        if self._there:
            try:
                file = BoundedFile(self._resources.enter_context(self._path.open("rb")), _MAX_CONTENTS)
                self._archive = self._resources.enter_context(zipfile.ZipFile(file))
                self._members = frozenset(self._archive.namelist())
            except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
                raise self._missing(getattr(error, "strerror", None) or error) from None
        for k, take in self._takes.items():
            self._check_take(k, take)

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[int]:
        return iter(self._there)

    def __contains__(self, k: object) -> bool:
        return k in self._there

    def __getitem__(self, k: int) -> KeptSegment:
        k = self._there[k]
        recorded = self._manifest.content["segments"][k]
        takes = recorded_takes(recorded)
        tokens = {take: self._read(k, take) for take in range(len(takes.tries)) if self._has(k, take)}
        tokens[takes.chosen] = self._read(k, None)
        if (frames := tokens[takes.chosen].fine.shape[1]) != recorded.get("frames"):
            raise self._missing(f"segment {k + 1} has {frames} frames, not {recorded.get('frames')}")
        chosen = self._takes.get(k, takes.chosen)
        others = {take: voice for take, voice in tokens.items() if take != chosen and voice.fine.size}
        return KeptSegment(tokens[chosen], _about(recorded), RecordedTakes(takes.tries, chosen, others))

    def _check_take(self, k: int, take: int) -> None:
        """Raise UsageError for a take of a segment of the manifest whose tokens are not there."""
        takes = recorded_takes(self._manifest.content["segments"][k])
        if take >= len(takes.tries):
            raise UsageError(
                f"--take: segment {k + 1} of the manifest has {len(takes.tries)} takes, and none of number {take + 1}; "
                "--dry_run --show_takes beside --from_manifest shows them"
            )
        if take != takes.chosen and not self._has(k, take):
            raise UsageError(
                f"--take: the tokens of take {take + 1} of segment {k + 1} are not in {self._path}; "
                "only clips that are made with --keep_takes have them"
            )

    def _has(self, k: int, take: int) -> bool:
        return self._has_all and member_name(next(iter(VOICE_ARRAYS)), k, take) in self._members

    def _read(self, k: int, take: int | None) -> Voice:
        """The tokens of a take; None: of the chosen one. Raises UsageError."""
        names = (member_name(name, k, take) if self._has_all else f"{name}.npy" for name in VOICE_ARRAYS)
        try:
            arrays = [
                usable_tokens(name, read_member(self._archive, member))
                for name, member in zip(VOICE_ARRAYS, names, strict=True)
            ]
        except Exception as error:  # zip, zlib and the parser of array headers raise whatever they like
            raise self._missing(error) from None
        return Voice(*arrays)

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


def member_name(array: str, segment: int, take: int | None = None) -> str:
    """The name of an array of a segment in a clip's `.segments.npz`: of a take, or (None) of the one in the clip."""
    return f"{array}_{segment}.npy" if take is None else f"{array}_{segment}_take_{take + 1}.npy"


def recorded_takes(recorded: Mapping[str, Any]) -> RecordedTakes:
    """The takes of a segment by its entry in the manifest, without their tokens; just one where it tells of no others."""
    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
        tries = tuple(Try.of(content) for content in recorded["tries"])
        chosen = recorded["take"] - 1 if "take" in recorded else _index_of(recorded["seeds"], recorded["tries"])
        if type(chosen) is int and 0 <= chosen < len(tries):
            return RecordedTakes(tries, chosen, {})
    heard = {name: recorded[name] for name in ("heard", "word_errors", "trimmed") if name in recorded}
    only = {"seeds": recorded["seeds"], "faults": None}
    try:
        return RecordedTakes((Try.of(only | heard),), 0, {})
    except (KeyError, TypeError, ValueError, OverflowError):
        return RecordedTakes((Try.of(only),), 0, {})


def _index_of(seeds: object, tries: Sequence[Mapping[str, Any]]) -> int:
    """The index of the take with these seeds, as in manifests that do not name the chosen one. Raises ValueError."""
    return [one["seeds"] for one in tries].index(seeds)


def _about(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """`KeptSegment.about` from a segment's entry in the manifest; for missing or damaged values there are defaults."""
    taken, cut = recorded.get("seconds_taken"), recorded.get("ids_cut")
    measured = {name: recorded.get(name) for name in ("entropy", "perplexity")}
    return {
        "cut_ids": cut if type(cut) is int else 0,
        "seconds_taken": {stage: _number(taken.get(stage) if isinstance(taken, dict) else 0) for stage in _STAGES},
        "statistics": measured if all(type(value) is float for value in measured.values()) else None,
        "ended": True,  # it was accepted when it was generated
    }


def _number(value: object) -> float:
    return float(value) if type(value) is int or type(value) is float else 0.0
