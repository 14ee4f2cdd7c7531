"""Clips made again from their own tokens: all of them in another dress (restitch), or some segments anew (regenerate)."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import zipfile
from collections.abc import Collection, Container, Iterator, Mapping
from pathlib import Path

from .. import constants as c
from ..errors import UsageError
from ..options.table import Options
from ..run.journal import KeptSegment, usable_tokens
from ..run.planning import SEEDS, ClipPlan, history_plan, plan_again
from ..seeds import Seeds, derive_seed
from ..voices.voice import VOICE_ARRAYS, Frugal, Voice, read_member
from .manifest import Manifest

_NUMBERS = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")
_MAX_CONTENTS = 100 * 2**20  # bytes of an archive's table of contents, of 200 or so for each segment
_STAGES = ("semantic", "coarse", "fine", "codec")


def chosen_segments(text: str, n_segments: int) -> set[int]:
    """`3,7-9` -> {2, 6, 7, 8}. Raises UsageError for anything else, and for what the clip does not have."""
    chosen: set[int] = set()
    for part in text.split(","):
        match = _NUMBERS.fullmatch(part)
        if not match:
            raise UsageError(f"--regenerate takes numbers of segments as in 3,7-9, not {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= n_segments:
            raise UsageError(
                f"--regenerate {text}: the clip has the segments 1 to {n_segments}, and not {part.strip()}"
            )
        chosen.update(range(first - 1, last))
    return chosen


def plan_regenerated(manifest: Manifest, options: Options, drawn_seed: int, own_stems: Container[str] = ()) -> ClipPlan:
    """The clip of a manifest, with new seeds for the chosen segments: derived from a seed that is given, or the drawn one.

    No stage of theirs keeps a seed of its own. Raises UsageError.
    """
    before = manifest.options
    given = {name: getattr(options, name) for name in SEEDS}
    new = next((seed for name, seed in given.items() if seed is not None and seed != getattr(before, name)), drawn_seed)
    as_before = dataclasses.replace(options, **{name: getattr(before, name) for name in SEEDS})
    plan = plan_again(manifest, as_before, own_stems=own_stems)
    if [segment.text for segment in plan.segments] != [text for text, _ in manifest.segments]:
        raise UsageError(
            "--regenerate keeps the other segments, so the text stays cut as it was; leave out what cuts it"
        )
    segments = list(plan.segments)
    for k in chosen_segments(options.regenerate, len(segments)):
        seeds = Seeds(derive_seed(new, "regenerate", k + 1))
        segments[k] = dataclasses.replace(segments[k], seeds=seeds, settled=False)
    return dataclasses.replace(plan, segments=tuple(segments))


def with_hearers(chosen: Collection[int], manifest: Manifest, options: Options, has_voice: bool) -> set[int]:
    """The chosen segments and all that hear one of them, directly or through others."""
    if options.custom_audio_processing_function is not None:  # it may let any segment hear any other
        return set(range(min(chosen), len(manifest.segments)))
    rule, again = history_plan(options), set()
    told = manifest.content["segments"]
    first = next((k for k in range(len(told)) if not _is_silent(told[k])), 0)  # whose voice the others go on from
    own_voice = not has_voice and not rule.separate
    for k, (text, _) in enumerate(manifest.segments):
        weights = rule.weights(k, wordless=not text)
        hears_previous = weights.of_previous and k - 1 in again
        hears_first = own_voice and weights.of_starting and k > 0 and any(i in again for i in range(min(first + 1, k)))
        if k in chosen or hears_previous or hears_first:
            again.add(k)
    return again


class ClipTokens(Mapping[int, KeptSegment]):
    """The tokens of a finished clip's segments, from the files beside its manifest; read one at a time.

    Raises UsageError where they are missing or damaged. Those in `leave_out` are not there.
    """

    def __init__(self, name: str, manifest: Manifest, leave_out: Collection[int] = ()):
        self._name, self._manifest = name, manifest
        self._there = dict.fromkeys(k for k in range(len(manifest.segments)) if k not in leave_out)
        path = Path(name)
        self._several = len(manifest.segments) > 1
        self._path = path.with_name(path.stem + (".segments.npz" if self._several else ".npz"))
        self._resources = contextlib.ExitStack()
        if self._there:
            try:
                file = Frugal(self._resources.enter_context(self._path.open("rb")), _MAX_CONTENTS)
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
        if k not in self._there:
            raise KeyError(k)
        suffix = f"_{k}" if self._several else ""
        try:
            arrays = [usable_tokens(name, read_member(self._archive, f"{name}{suffix}.npy")) for name in VOICE_ARRAYS]
        except Exception as error:  # zip, zlib and the parser of array headers raise whatever they like
            raise self._missing(error) from None
        voice, told = Voice(*arrays), self._manifest.content["segments"][k]
        if voice.fine.shape[1] != told.get("frames"):
            raise self._missing(f"segment {k + 1} has {voice.fine.shape[1]} frames, not {told.get('frames')}")
        return KeptSegment(voice, _about(told))

    @property
    def seconds(self) -> float:
        """Length of the sound of these segments."""
        frames = (self._manifest.content["segments"][k].get("frames") for k in self._there)
        return sum(n for n in frames if type(n) is int) / c.FRAME_RATE_HZ

    def close(self) -> None:
        """Let go of the file."""
        self._resources.close()

    def _missing(self, reason: object) -> UsageError:
        return UsageError(
            f"--from_manifest {self._name}: the clip's tokens cannot be read from {self._path} ({str(reason)[:200]}); "
            "put that file beside the manifest, or make the clip again without --restitch or --regenerate"
        )


def in_words(segments: Collection[int]) -> str:
    """{0, 1, 2, 6} -> 1-3, 7."""
    runs: list[list[int]] = []
    for k in sorted(segments):
        if runs and runs[-1][-1] == k - 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return ", ".join(f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else str(run[0] + 1) for run in runs)


def _is_silent(told: object) -> bool:
    return isinstance(told, dict) and told.get("frames") == 0


def _about(told: Mapping[str, object]) -> Mapping[str, object]:
    """What a journal keeps of a segment, as the manifest tells it; nothing of it is vital."""
    taken, cut = told.get("seconds_taken"), told.get("ids_cut")
    measured = {name: told.get(name) for name in ("entropy", "perplexity")}
    return {
        "cut_ids": cut if type(cut) is int else 0,
        "seconds_taken": {stage: _number(taken.get(stage) if isinstance(taken, dict) else 0) for stage in _STAGES},
        "statistics": measured if all(type(value) is float for value in measured.values()) else None,
        "ended": True,  # it was found good enough then
        "tries": [{"seeds": told["seeds"], "faults": None}],
    }


def _number(value: object) -> float:
    return float(value) if type(value) in (int, float) else 0.0
