"""The sound of single segments, decoded from the tokens of a finished clip or of an unfinished one."""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import UnknownError
from ..output.clip_tokens import ClipTokens, recorded_takes
from ..output.manifest import Manifest, read_manifest
from ..run.journal import about_take, read_take
from ..run.unfinished import UnfinishedClip, number_of_take


def finished_codes(path: Path, segment: int, take: int | None) -> np.ndarray:
    """The codes (8, frames) of a segment of a finished clip. `path`: its manifest; `take`: None for the one in the clip.

    Raises UsageError if the tokens are not there, UnknownError if the clip is gone.
    """
    try:
        manifest = _manifest(path, path.stat().st_mtime_ns)
    except OSError:
        raise UnknownError(f"{path.name} is not in the output folder any more") from None
    takes = None if take is None else {segment: take}
    if take is not None and take == recorded_takes(manifest.content["segments"][segment]).chosen:
        takes = None
    with closing(ClipTokens(str(path), manifest, {segment: segment}, takes)) as tokens:
        return tokens[segment].voice.fine


@lru_cache(maxsize=4)
def _manifest(path: Path, changed_ns: int) -> Manifest:
    """A manifest, read once for each time it changes."""
    return read_manifest(str(path))


def unfinished_codes(clip: UnfinishedClip, segment: int, take: int) -> np.ndarray:
    """The same of a clip in progress. Raises UnknownError if nothing is saved of it."""
    twins = {
        k for k, digest in enumerate(clip.digests) if digest == clip.digests[segment]
    }  # saved once for all of them
    best: Path | None = None
    for path in clip.saved_takes():
        if number_of_take(path) == take and (own := about_take(path).get("segment")) in twins:
            best = path if own == segment or best is None else best
    kept = None if best is None else read_take(best)
    if kept is None:
        raise UnknownError(f"take {take + 1} of segment {segment + 1} is not made yet")
    return kept.voice.fine
