"""The audio of a finished clip made again from its tokens, by the codec alone: no stage of the model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .clips import ClipUnderWay, FailedClip, Heard, SegmentMade
from .journal import RunJournal
from .long_form import recalled
from .manifest import Manifest
from .options import Options
from .planning import ClipPlan
from .remaking import ClipTokens, restitched_manifest
from .results import ClipFiles, SavedClip
from .segment_checks import Try

Decode = Callable[[np.ndarray], np.ndarray]
"""Codes (8, frames) -> samples (frames * 320,)."""


def restitch_clip(
    manifest: Manifest, plan: ClipPlan, tokens: ClipTokens, decode: Decode, folder: Path, options: Options
) -> SavedClip:
    """Write the clip anew. Raises OutputError, UsageError for tokens that are damaged, TextError for none with a sound."""
    longest = tokens.seconds + len(tokens) * options.add_silence_between_segments
    clip = ClipUnderWay(plan, options.add_silence_between_segments, options.gain_db)
    journal = RunJournal.start(folder, lambda _: "", plan.seed)
    try:
        files = ClipFiles(plan, folder, options, longest, journal.clip(plan))
        try:
            for made in _segments(plan, tokens, decode):
                for placed in clip.put(made):
                    files.add(placed)
            record = clip.finish(None, None)
            if isinstance(record, FailedClip):
                raise record.error
            return SavedClip(record, files.finish(record, restitched_manifest(manifest, record, options)))
        finally:
            files.discard()
    finally:
        journal.close(complete=True)


def _segments(plan: ClipPlan, tokens: ClipTokens, decode: Decode) -> Iterator[SegmentMade]:
    """Every segment with its sound; what the manifest tells of their making stands."""
    for k, kept in tokens.items():
        generation = recalled(kept, lambda codes: [decode(c) for c in codes])
        yield SegmentMade(plan, k, Heard(), generation, (Try(plan.segments[k].seeds, None),))
