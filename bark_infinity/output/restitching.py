"""The audio of a finished clip made again from its tokens, by the codec alone: no stage of the model is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..options.table import Options
from ..run.checks import Try
from ..run.clips import ClipRecord, ClipUnderWay, FailedClip, Heard, SegmentMade
from ..run.journal import RunJournal
from ..run.planning import ClipPlan
from ..run.scheduler import recalled
from ..voices.rendering import Decode
from .clip_files import ClipFiles, SavedClip
from .clip_tokens import ClipTokens
from .descriptions import recorded_settings
from .manifest import Manifest, seconds


def restitch_clip(
    manifest: Manifest, plan: ClipPlan, tokens: ClipTokens, decode: Decode, folder: Path, options: Options
) -> SavedClip:
    """Write the clip anew. Raises OutputError, UsageError for tokens that are damaged, TextError for none with a sound."""
    longest = tokens.seconds + sum(segment.pause.seconds for segment in plan.segments)
    clip = ClipUnderWay(plan, options.gain_db)
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
            path = files.finish(record, _manifest_of(manifest, record, options))
            return SavedClip(record, path, files.level)
        finally:
            files.discard()
    finally:
        journal.close(complete=True)


def _manifest_of(manifest: Manifest, clip: ClipRecord, options: Options) -> Mapping[str, object]:
    """What the manifest said, with what is new."""
    spans = [
        {"start": seconds(made.span.start), "end": seconds(made.span.stop), "pause": dataclasses.asdict(segment.pause)}
        for segment, made in zip(clip.plan.segments, clip.segments, strict=True)
    ]
    content = {name: value for name, value in manifest.content.items() if name != "format"}
    return content | {
        "settings": recorded_settings(options),
        "seconds": round(clip.seconds, 6),
        "segments": [told | span for told, span in zip(content["segments"], spans, strict=True)],
        "audio_sha256": clip.audio_sha256,
    }


def _segments(plan: ClipPlan, tokens: ClipTokens, decode: Decode) -> Iterator[SegmentMade]:
    """Every segment with its sound; what the manifest tells of their making stands."""
    for k, kept in tokens.items():
        generation = recalled(kept, decode)
        yield SegmentMade(plan, k, Heard(), generation, (Try(plan.segments[k].seeds, None),))
