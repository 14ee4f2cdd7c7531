"""One run of a job, in a thread of its own: of its text at first, later of each change of a finished clip."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import BarkError, EngineClosedError, UsageError
from ..narration import ClipSource, Job, recipe_of
from ..options.layers import layered
from ..options.resolve import resolve
from ..options.table import Options
from ..output.clip_files import save_voice
from ..output.clip_tokens import ClipTokens
from ..output.manifest import read_manifest
from ..output.mending import Mended
from ..output.recorded import with_manifest
from ..output.remaking import chosen_takes
from ..output.restitching import restitch_clip
from ..run.clips import FailedClip, FinishedSegment
from ..run.engine import Engine
from ..run.journal import RunJournal
from ..run.naming import audio_suffix
from ..run.planning import ClipPlan
from ..run.program_options import AS_LOADED, as_loaded
from ..run.random_voice import RANDOM
from ..run.recipe import Recipe
from ..voices.cloning import clone_voice
from ..voices.voice import Voice
from .clip_contents import files_of_clip
from .engine_client import USUAL_PRECEDENCE
from .job_options import file_settings
from .job_records import Change, ClipRecord, JobRecord
from .job_shelf import Shelf

_KEPT_VOICE = "voice.npz"  # in a job's folder: what was cloned for it
_VOICES = ("history_prompt", "bark_speaker_as_the_prompt")


class JobClient(Engine, Protocol):
    """The access of a job to the engine that all jobs share."""

    precedence: float
    """Segments of jobs with a lower one go first."""

    def close(self) -> None:
        """Withdraw what is not finished; whoever waits for it gets an EngineClosedError."""


class RunStopped(Exception):
    """The run was stopped before its end; what it has finished is kept."""


@dataclass(frozen=True)
class PlannedClip:
    """A clip that a run makes. `kept`: segments that keep tokens, and which of those of the clip before they are."""

    index: int  # in the job
    plan: ClipPlan
    kept: Mapping[int, int] = field(default_factory=dict)


class RunListener(Protocol):
    """Is told what a run does, in the run's thread. `clip`: the index of the clip in the job."""

    def planned(self, clips: Sequence[PlannedClip]) -> None:
        """These clips are going to be made, as far as they are not finished already."""

    def made(self, clip: int, segment: FinishedSegment) -> None:
        """The next segment of a clip has its place."""

    def finished(self, clip: int, record: ClipRecord) -> None:
        """The files of a clip are complete."""

    def failed(self, clip: int, error: BarkError) -> None:
        """A clip was given up."""

    def noted(self, sentence: str) -> None:
        """Something that the user should know."""


class JobRun:
    """A run of a job. `run` returns when all is done; `stop` may be called from any thread."""

    def __init__(self, record: JobRecord, shelf: Shelf, client: JobClient, listener: RunListener):
        self.record, self._shelf, self._client, self._listener = record, shelf, client, listener
        self._stopped = threading.Event()
        self.prefer(record)
        self.discard = False
        """Whether what is unfinished is to be removed when the run has ended."""
        self.places: Mapping[int, int] = {}
        """Of a change: where the segments of the clip before are now; not those that are gone."""

    def run(self) -> None:
        """Make what is to be made. Raises RunStopped, BarkError."""
        try:
            with closing(self._client):
                if self.record.changes:
                    self._change(self.record.changes[0])
                else:
                    self._speak()
        except EngineClosedError:
            raise RunStopped from None
        except BarkError:
            self._check()
            raise

    def stop(self) -> None:
        """End within a step of the engine. What is finished is kept."""
        self._stopped.set()
        self._client.close()

    def prefer(self, record: JobRecord) -> None:
        """Let its segments go before those of other jobs, if the job was moved up. `record`: as it is now."""
        self._client.precedence = record.order if record.moved_up else USUAL_PRECEDENCE

    def _check(self, _: object = None) -> None:
        """Called between steps. Raises RunStopped once the run is to stop."""
        if self._stopped.is_set():
            raise RunStopped

    # ---- the text of a job ----

    def _speak(self) -> None:
        source = self._shelf.source(self.record, self._listener.noted)
        recipe = self._recipe(source, self._cloned_voice(source.options))
        job = Job(source.options, source, recipe, self.record.journal)
        if job.failed_prompts:
            first = job.failed_prompts[0]
            self._listener.noted(f"{len(job.failed_prompts)} prompts cannot be spoken, the first because {first.error}")
        self._make(job, {(plan.prompt_index, plan.take): k for k, plan in enumerate(job.plans)}, source.options)

    def _recipe(self, source: ClipSource, voice: Voice | None = None) -> Recipe:
        tell, load = self._listener.noted, self._shelf.recognizers.load
        return recipe_of(source, self._shelf.bark, voice, self._client, tell, load)

    def _make(self, job: Job, places: Mapping[tuple[int, int], int], options: Options) -> None:
        """Run a job. `places`: the index of each clip, by its prompt and take."""

        def index(plan: ClipPlan) -> int:
            return places[plan.prompt_index, plan.take]

        def record_of(plan: ClipPlan, path: Path, seconds: float = 0.0) -> ClipRecord:
            stem = path.name.removesuffix(audio_suffix(options))
            files = files_of_clip(self._shelf.folder, stem)
            return ClipRecord(stem, len(plan.segments), (plan.prompt_index, plan.take), seconds, files)

        self._listener.planned([PlannedClip(index(plan), plan, job.kept) for plan in job.plans])
        for plan, path in job.clips:
            self._listener.finished(index(plan), record_of(plan, path))
        with closing(job.run(self._check)) as results:
            for result in results:
                if isinstance(result, FinishedSegment):
                    self._listener.made(index(result.plan), result)
                elif isinstance(result, FailedClip):
                    if isinstance(result.error, EngineClosedError):
                        raise result.error
                    self._listener.failed(index(result.plan), result.error)
                else:
                    assert result.path is not None  # a job writes its clips
                    for note in result.notes:
                        self._listener.noted(note)
                    self._listener.finished(index(result.plan), record_of(result.plan, result.path, result.seconds))
                self._check()

    def _cloned_voice(self, options: Options) -> Voice | None:
        """The voice of --audio_file_as_history_prompt, cloned once for the job; None if it is not given."""
        if options.audio_file_as_history_prompt is None:
            return None
        kept = self._shelf.queue.folder_of(self.record.id) / _KEPT_VOICE
        if not kept.exists():
            recording, bark = Path(options.audio_file_as_history_prompt), self._shelf.bark
            cloned = clone_voice(recording, bark.codec_model, bark.hub, bark.codec_placement.device)
            for warning in cloned.warnings:
                self._listener.noted(warning)
            voice = Voice.from_prompts(cloned.prompts, f"the voice cloned from {recording.name}")
            save_voice(voice, self._shelf.folder, recording.stem)
            voice.save(kept)
        return Voice.load(kept)

    # ---- changes of a finished clip ----

    def _change(self, change: Change) -> None:
        path = self._shelf.folder / f"{self.record.clips[change.clip].name}.json"
        manifest = read_manifest(str(path))
        if change.kind == "takes":
            self._choose_takes(change, path)
            return
        if manifest.content.get("model") != self._shelf.bark.name:
            raise UsageError(
                f"{path.name} was made with the model {str(manifest.content.get('model'))[:100]}, and the server has "
                f"loaded {self._shelf.bark.name}; start it with --model and the other one"
            )
        wanted: dict[str, object] = {}
        edits: dict[int, str] = {}
        if change.kind == "texts":
            edits = {k: str(text) for k, text in change.segments.items()}
        else:
            wanted["regenerate"] = ",".join(str(k + 1) for k in sorted(change.segments))
        settings = with_manifest(self._of_manifest(path, wanted | self._voices()), str(path), has_folder=False)
        settings = {name: value for name, value in settings.items() if name not in AS_LOADED}
        options = resolve(as_loaded(Options.from_settings(settings), self._shelf.bark))
        source = ClipSource(options, self._listener.noted, edits=edits)
        recipe = self._recipe(source)
        job = Job(options, source, recipe, self.record.journal)
        n = len(manifest.segments)
        self.places = dict(zip(range(n), range(n), strict=True)) if job.mended is None else places_of(job.mended)
        self._make(job, {(plan.prompt_index, plan.take): change.clip for plan in job.plans}, options)

    def _choose_takes(self, change: Change, path: Path) -> None:
        """Make the audio of a clip again with other takes."""
        takes = ",".join(f"{k + 1}={int(take) + 1}" for k, take in sorted(change.segments.items()))
        settings = self._of_manifest(path, {"take": takes})
        options = resolve(Options.from_settings(with_manifest(settings, str(path), has_folder=False)))
        source = ClipSource(options, self._listener.noted)
        assert source.manifest is not None
        (plan,), _ = source.plan()
        n = len(plan.segments)
        self.places = dict(zip(range(n), range(n), strict=True))
        with closing(ClipTokens(str(path), source.manifest, takes=chosen_takes(takes, n))) as tokens:
            journal = RunJournal.named(self._shelf.folder, self.record.journal, lambda _: "", plan.seed)
            if journal is None:
                raise UsageError(f"another process works on {path.name}; wait for its end")
            if (done := journal.done(plan)) is not None:
                journal.close(complete=True)
                audio, seconds = done, 0.0
            else:
                folder = self._shelf.folder
                clip = restitch_clip(source.manifest, plan, tokens, self._decode, folder, options, journal)
                assert clip.path is not None
                audio, seconds = clip.path, clip.seconds
        stem = audio.name.removesuffix(audio_suffix(options))
        files = files_of_clip(self._shelf.folder, stem)
        self._listener.finished(change.clip, ClipRecord(stem, n, (plan.prompt_index, plan.take), seconds, files))

    def _of_manifest(self, path: Path, wanted: Mapping[str, object]) -> dict[str, object]:
        """What is asked beside the manifest: the files that the clip had, too."""
        recorded = read_manifest(str(path)).content["settings"]
        return {"from_manifest": str(path), **layered(wanted, file_settings(recorded))}

    def _voices(self) -> dict[str, object]:
        """The voices that the job was given by name, which its manifest may not open unasked."""
        given = {name: self.record.options.get(name) for name in _VOICES}
        return {name: voice for name, voice in given.items() if voice not in (None, RANDOM)}

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        self._check()
        return self._client.decode([codes])[0]


def places_of(mended: Mended) -> dict[int, int]:
    """Where the segments of a clip are after an edit: {old index: new one}, without those that are gone or were cut anew."""
    places = {old: new for new, old in mended.unchanged.items()}
    n_old, n_new = len(mended.manifest.segments), len(mended.plan.segments)
    last_old = last_new = -1
    for old, new in [*sorted(places.items()), (n_old, n_new)]:
        if old - last_old == new - last_new:  # as many between these two as before
            places |= {last_old + k: last_new + k for k in range(1, old - last_old)}
        last_old, last_new = old, new
    return places
