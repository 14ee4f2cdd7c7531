"""Makes the audio of a finished clip again from its tokens; this needs only the codec, no stage of the model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..options.flag import SHAPE_TOKENS, Shapes
from ..options.resolve import resolve
from ..options.table import Options, flags
from ..run.clips import Clip, HistorySizes, SegmentRecord
from ..run.joining import Joining
from ..run.journal import RunJournal
from ..run.planning import ClipPlan
from ..run.scheduler import generation_of
from ..run.stitching import Stitcher
from ..run.takes import Outcome
from ..voices.rendering import Decode
from .book import RunBook
from .clip_files import TAKE_CONTENT, ClipFiles, described_book, take_content
from .clip_tokens import ClipTokens
from .descriptions import recorded_settings
from .manifest import Manifest, read_manifest, seconds
from .remaking import plan_restitched


def restitch_clip(
    manifest: Manifest,
    plan: ClipPlan,
    tokens: ClipTokens,
    decode: Decode,
    folder: Path,
    options: Options,
    journal: RunJournal | None = None,
) -> Clip:
    """Decode a clip's tokens and write its files. Raises OutputError, UsageError for damaged tokens, TextError for silence.

    `journal`: of a run of its own, which is closed at the end; None: a new one.
    """
    longest = tokens.seconds + plan.gap_seconds
    stitcher = Stitcher(plan, Joining.from_options(options))
    journal = journal or RunJournal.start(folder, lambda _: "", plan.seed)
    try:
        files = ClipFiles(plan, folder, options, longest, journal.clip(plan), partial(_manifest, manifest, options))
        try:
            for kept in tokens.values():
                # `_manifest` takes the rest of a segment's entry from the old manifest
                generation = generation_of(kept, decode)
                assert generation is not None and kept.takes is not None  # they were checked when the manifest was read
                tries, chosen, others = kept.takes
                outcome = Outcome(generation, tries, chosen, True, others if options.keep_takes else {})
                files.add(stitcher.place(outcome, HistorySizes()))
            clip = files.finish(stitcher.to_clip())
            assert clip.path is not None  # the files have their names
            journal.finished(plan, clip.path)
            return clip
        finally:
            files.discard()
    finally:
        journal.close(complete=True)


def restitch_file(path: Path, decode: Decode, destination: Path, files: Options) -> Path:
    """Write a finished clip again as `destination`, from the tokens beside its audio file `path`. Returns the new path.

    `files`: options that say which other files it gets, and how they are written.
    Raises what `restitch_clip` raises, and UsageError for a destination whose ending is not a known format.
    """
    name = str(path.with_suffix(".json"))
    manifest = read_manifest(name)
    asked = Options.from_settings(
        {
            **manifest.settings,
            **{line.name: getattr(files, line.name) for line in flags() if line.shapes is Shapes.FILES},
            "from_manifest": name,
            "restitch": True,
            "output_dir": str(destination.parent),
            "output_filename": destination.name,
            "output_format": None,
        }
    )
    options = resolve(asked)
    plan = RunBook.find(options, None, manifest, lambda _: None).of(plan_restitched(manifest, options))
    with contextlib.closing(ClipTokens(name, manifest)) as tokens:
        clip = restitch_clip(manifest, plan, tokens, decode, Path(options.output_dir), options)
    assert clip.path is not None
    return clip.path


def _settings(manifest: Manifest, options: Options) -> dict[str, object]:
    """The settings for the new manifest: those that the tokens depend on from the old one, the others from `options`."""
    of_tokens = {line.name for line in flags() if line.shapes in (*SHAPE_TOKENS, Shapes.COMPUTING)}
    old = {name: value for name, value in manifest.content["settings"].items() if name in of_tokens}
    return old | {name: value for name, value in recorded_settings(options).items() if name not in of_tokens}


def _manifest(manifest: Manifest, options: Options, clip: Clip) -> Mapping[str, object]:
    """The old manifest, updated with the new audio, pauses and settings."""
    segments = []
    for old, segment, record in zip(manifest.content["segments"], clip.plan.segments, clip.segments, strict=True):
        span = {
            "start": seconds(record.span.start),
            "end": seconds(record.span.stop),
            "pause": segment.pause.content(Path(options.output_dir)),
        }
        segments.append((_with_take(old, record) if options.take is not None else old) | span)
    anew = ("format", "book", "chapters", "mastering", "subtitles", "timing")
    content = {name: value for name, value in manifest.content.items() if name not in anew}
    return content | {
        "settings": _settings(manifest, options),
        "audio_format": options.output_format,
        "sample_rate": options.sample_rate,
        "seconds": round(clip.seconds, 6),
        **({"lead": clip.plan.lead.content(Path(options.output_dir))} if "lead" in content else {}),
        "segments": segments,
        "audio_sha256": clip.audio_sha256,
        **described_book(clip),
    }


def _with_take(old: Mapping[str, object], record: SegmentRecord) -> dict[str, object]:
    """The entry of a segment in the old manifest, with what it tells of the take that is in the clip now."""
    others = {name: value for name, value in old.items() if name not in TAKE_CONTENT}
    counts = {"semantic_tokens": record.semantic_tokens, "frames": record.frames}
    return others | dict(take_content(record)) | counts
