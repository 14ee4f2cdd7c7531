"""Generates clips from texts of any length: the Python interface that the command line uses too.

`narrate` speaks one text and yields its segments while they are generated. `Job` generates all clips that options ask for
and writes them to a folder; the same job, started again after an interruption, resumes there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .audio.formats import AV_FORMATS, FORMATS, check_ending, check_format
from .errors import TextError, UsageError, VoiceError
from .options.layers import with_script_settings
from .options.python_words import python_words
from .options.resolve import resolve
from .options.shard import Shard
from .options.table import Options
from .output.book import RunBook
from .output.editing import edit
from .output.manifest import Manifest, check_unasked, read_manifest
from .output.mending import Mended, mend
from .output.recorded import speakers_with_other_voices, usable_cast
from .output.remaking import (
    chosen_segments,
    plan_again,
    plan_regenerated,
    plan_restitched,
    recorded_script,
    recording_cutter,
    takes_of_kept,
    with_dependents,
    with_new_seeds,
)
from .run.audition import auditioned_voices, in_voices
from .run.book_source import ScriptChapter
from .run.planning import (
    ClipPlan,
    CountIds,
    FailedPrompt,
    SegmentCutter,
    clip_of_script,
    plan_clips,
    with_sampling_settings,
)
from .run.prompts import Notify, read_source
from .run.random_voice import RANDOM, make_voice, planned_file, seed_of_voice
from .run.script_names import ScriptNames
from .run.script_source import NamedVoice, ScriptSource, script_folder, voices_in
from .run.sounds import SoundFiles
from .seeds import draw_seed
from .text.events import Script
from .text.front_matter import parse_cast
from .text.pronunciation import Pronunciation
from .voices.library import voice_folders
from .voices.recorded_voices import voices_to_clone

if TYPE_CHECKING:  # planning is done without torch
    from .bark import Bark
    from .checkpoints.hub import Hub
    from .output.clip_tokens import ClipTokens
    from .run.clips import Clip, FinishedSegment
    from .run.engine import Engine
    from .run.journal import RunJournal
    from .run.recipe import Recipe
    from .run.recognition import Recognizer
    from .run.scheduler import Result, RunProgress
    from .voices.voice import Voice

    LoadRecognizer = Callable[[Options, Hub, Notify], Recognizer | None]


_log = logging.getLogger(__name__)
_MENDING = ("text_prompt", "prompt_file", "cast", "pronunciations")  # beside a manifest: flags that change its script
_PYTHON_WORDS = {"another with --output_dir or --output_filename": "another folder"}


class ClipSource:
    """Plans the clips that options ask for: those of the given prompts, or the one of a manifest. Imports no torch.

    `notify` is called with sentences for the user about how files are read. `script`: what is spoken in place of a text.
    `names`: finds the files that a text names, for a text of a stranger, as a server has them; None: they are opened as
    they are named. `edits`: new texts of segments of a manifest's clip, by index; "" leaves one out. Raises UsageError or
    TextError if the text or the manifest cannot be used.
    """

    def __init__(
        self,
        options: Options,
        notify: Notify = lambda _: None,
        script: Script | None = None,
        names: ScriptNames | None = None,
        edits: Mapping[int, str] | None = None,
    ):
        self.options = options
        """Resolved options, with the settings of the script."""
        self.drawn_seed = draw_seed()
        self.manifest: Manifest | None = None
        self.script: Script | None = None
        """What is spoken, before it is cut into prompts; None where a manifest or nothing is given."""
        self.voices: Mapping[str, NamedVoice] = {}
        """The voices of all speakers but the narrator."""
        self.mended: Mended | None = None
        """The plan, once it is made, of a manifest's clip with a changed script."""
        self.first_text = ""
        """What the first clip of the whole run says, also where it is another shard's, once it is planned."""
        self._names = names
        self._source = ScriptSource(None, "plain", None)
        self._prompts: Sequence[Script] = ()
        self._auditioned: Mapping[str, str] = {}
        self._cutter = SegmentCutter(options)
        self._recast: set[str] = set()  # speakers who have other voices than in the manifest
        self._edits = edits or {}
        if options.from_manifest is None:
            self._read(notify, script)
        else:
            self._read_manifest(options.from_manifest, notify)
        of_script = None if self.script is None else self.script.book
        self.book = RunBook.find(self.options, of_script, self.manifest, notify, self._source.cover)
        """What is said of the book that is spoken, and its cover."""

    def _read_manifest(self, path: str, notify: Notify) -> None:
        options = self.options
        self.manifest = read_manifest(path)
        check_unasked(self.manifest, path, options)
        if self._edits:
            self._cutter = recording_cutter(self.manifest, options)
        if any(getattr(options, name) is not None for name in _MENDING):
            self._read_mended(self.manifest, path, notify)
        elif self.manifest.script is not None and not options.restitch:
            folders = voice_folders(options.output_dir, options.voice_dir)
            self.voices = usable_cast(path, self.manifest, (), folders)

    def _read(self, notify: Notify, script: Script | None) -> None:
        """Read the script of the options, or take the given one, and cut it into prompts."""
        options = self.options
        if script is not None:
            self._source = ScriptSource.of_script(script, options)
        else:
            self._source = ScriptSource.read(read_source(options, notify), options, names=self._names)
        self.script = self._source.script
        if self.script is not None:
            self.options = with_script_settings(options, self.script.settings)
            self.voices = voices_in(self.script)
        if options.audition is not None:
            self._auditioned = auditioned_voices(options)
            named = {name: NamedVoice(voice, "--audition") for name, voice in self._auditioned.items()}
            self.voices = {**self.voices, **named}
        self._cutter = SegmentCutter(self.options, SoundFiles(script_folder(options)).find)
        self._prompts = self._cut_prompts()

    def _cut_prompts(self) -> list[Script]:
        """The prompts of the script, each in every voice of --audition."""
        prompts = self._source.prompts(self.options, self.drawn_seed)
        return in_voices(prompts, self._auditioned) if self._auditioned else prompts

    def _read_mended(self, manifest: Manifest, path: str, notify: Notify) -> None:
        """Read the script with which a manifest's clip is mended: a new text, or the manifest's with another cast, say."""
        options, before = self.options, recorded_script(manifest)
        text = read_source(options, notify)
        if text is None:
            self._source = ScriptSource.recorded(before, options)
            self._cutter = recording_cutter(manifest, options)
        else:
            self._source = ScriptSource.read(text, options, before, self._names)
            assert self._source.script is not None
            self.options = with_script_settings(options, self._source.script.settings)
            self._cutter = SegmentCutter(self.options, SoundFiles(script_folder(options)).find)
        self.script = self._source.script
        assert self.script is not None
        voices = voices_in(self.script)
        # Voices that only the manifest names are looked for as a stranger's; those of the new text are the user's.
        recorded = voices_in(before) if text is None else {} if self._source.own_cast else before.cast
        theirs = recorded.keys() - (parse_cast(options.cast) if options.cast is not None else {}).keys()
        usual = voice_folders(options.output_dir, options.voice_dir)
        found = usable_cast(path, manifest, voices_in(before).keys() - theirs, usual)
        self.voices = {speaker: found.get(speaker, named) for speaker, named in voices.items()}
        folders = (*usual, Path(path).parent, script_folder(options))
        self._recast = speakers_with_other_voices(self.voices, manifest, folders)

    def given_voices(self) -> tuple[bool, set[str]]:
        """Whether the narrator's starting voice is given, and the other speakers whose voices are."""
        options = self.options
        of_run = options.history_prompt is not None or options.audio_file_as_history_prompt is not None
        return of_run, {name for name, (voice, _) in self.voices.items() if of_run or voice is not None}

    def chapters(self) -> list[tuple[ScriptChapter, float]]:
        """All chapters of a book or script, also those that are not spoken, with their estimated seconds."""
        return [(chapter, self._seconds_of(chapter)) for chapter in self._source.chapters]

    def _seconds_of(self, chapter: ScriptChapter) -> float:
        assert self.script is not None
        script = dataclasses.replace(self.script, events=chapter.events)
        try:
            cut = self._cutter.cut(script)
        except TextError:
            return 0.0  # there is nothing to say
        return clip_of_script(script, cut, self.options, 0, 0, 0, "").seconds(self.options)

    @property
    def used_pronunciations(self) -> frozenset[Pronunciation]:
        """The entries that have changed a text, once it is planned."""
        return frozenset(self._cutter.used)

    def plan(
        self, count_ids: CountIds | None = None, own_stems: Container[str] = ()
    ) -> tuple[list[ClipPlan], list[FailedPrompt]]:
        """The plans of all clips (of those of --shard), and the prompts that cannot be spoken.

        Raises TextError if no prompt can be spoken.

        `count_ids` counts token ids with the model's tokenizer; without it they are estimated. `own_stems`: names of
        clips that this run has already finished.
        """
        plans, failed = self._plans(count_ids, own_stems)
        self.first_text = plans[0].text
        if self.options.shard is not None:
            shard = Shard.read(self.options.shard)
            plans, failed = shard.own(plans), shard.own(failed)
        return [self.book.of(plan) for plan in plans], failed

    def _plans(
        self, count_ids: CountIds | None, own_stems: Container[str]
    ) -> tuple[list[ClipPlan], list[FailedPrompt]]:
        if self.manifest is not None and self.mends:
            return [self._mend(self.manifest, count_ids, own_stems)], []
        if self.manifest is not None and self.options.restitch:
            return [plan_restitched(self.manifest, self.options, own_stems)], []
        if self.manifest is not None and self.options.regenerate is not None:
            return [plan_regenerated(self.manifest, self.options, self.drawn_seed, own_stems)], []
        if self.manifest is not None:
            return [plan_again(self.manifest, self.options, count_ids, own_stems)], []
        voices = list(self._auditioned.values())
        return plan_clips(self._prompts, self._naming, self.drawn_seed, count_ids, own_stems, self._cutter, voices)

    @property
    def _naming(self) -> Options:
        """The options with the voice by which clips are named: a new one has its name before it is made."""
        if self.options.history_prompt != RANDOM:
            return self.options
        return self.options.with_settings({"history_prompt": planned_file(self.options, self.drawn_seed).stem})

    @property
    def mends(self) -> bool:
        """Whether a manifest's clip is made again with a changed script."""
        return self.manifest is not None and (self.script is not None or bool(self._edits))

    def _mend(self, manifest: Manifest, count_ids: CountIds | None, own_stems: Container[str]) -> ClipPlan:
        if self.script is None:
            self.mended = edit(manifest, self._edits, self.options, self._cutter, count_ids, own_stems)
            return self.mended.plan
        self.mended = mend(manifest, self.script, self.options, self._cutter, self._recast, count_ids, own_stems)
        plan = self.mended.plan
        if self.options.regenerate is None:
            return plan
        plan = with_new_seeds(plan, manifest, self.options, self.drawn_seed)
        chosen = chosen_segments(self.options.regenerate, len(plan.segments))
        unchanged = {new: old for new, old in self.mended.unchanged.items() if new not in chosen}
        self.mended = Mended(plan, manifest, unchanged)
        return plan

    def auditioned_voice(self, plan: ClipPlan) -> str:
        """With --audition: the voice in which a clip of this source is spoken."""
        n_texts = len(self._prompts) // len(self._auditioned)
        return list(self._auditioned.values())[plan.prompt_index // n_texts]

    def use_drawn_seed(self, drawn_seed: int) -> None:
        """Plan with this drawn seed from now on, for example that of an earlier run."""
        drew_another = drawn_seed != self.drawn_seed
        self.drawn_seed = drawn_seed
        if self.manifest is None and drew_another:
            self._prompts = self._cut_prompts()


class Job:
    """Generates all clips of `source` with `recipe`, and writes them to the output folder of resolved `options`.

    Finished segments and clips are on the disk: the same job, started again, resumes there unless `options.resume` is
    false. Raises OutputError, TextError, UsageError before anything is generated.
    """

    def __init__(self, options: Options, source: ClipSource, recipe: Recipe, journal_name: str | None = None):
        """`journal_name`: that of a journal of its own, which stays when the job is finished; None: it resumes an
        unfinished run of the same command, whose journal goes when it is finished.
        """
        from .output.clip_files import check_output_folder, clip_keys
        from .output.clip_tokens import ClipTokens

        self._options, self._recipe = options, recipe
        self._folder = check_output_folder(options.output_dir)
        self._key = clip_keys(options, recipe)
        self.resumed = False
        """Whether the job resumes an earlier run."""
        self.plans, self.failed_prompts, self._journal = (
            self._start_or_resume(source) if journal_name is None else self._start_or_resume_named(source, journal_name)
        )
        self.new_voice: Path | None = None
        """The file of the voice that was made for the run, with --history_prompt random."""
        if options.history_prompt == RANDOM and self.open_plans:
            self._options, self._recipe, self.new_voice = with_random_voice(options, source, recipe)
            options, recipe = self._options, self._recipe
        self.regenerated: set[int] = set()
        """With --regenerate: indexes of the chosen segments and of all that depend on them."""
        self.mended = source.mended
        """How the clip differs from a manifest's whose text is changed."""
        self.kept: dict[int, int] = {}
        """The segments that keep tokens of a manifest, and which of its segments they are."""
        self._known: ClipTokens | None = None
        if source.manifest is not None and (self.mended is not None or options.regenerate is not None):
            self.kept = self._kept_segments(source.manifest)
            assert options.from_manifest is not None
            n = len(self.plans[0].segments)
            takes = None if options.take is None else takes_of_kept(options.take, n, self.kept)
            self._known = ClipTokens(options.from_manifest, source.manifest, self.kept, takes)

    def _start_or_resume(self, source: ClipSource) -> tuple[list[ClipPlan], list[FailedPrompt], RunJournal]:
        """Plans, prompts that cannot be spoken, and the journal: of an unfinished run with the same plans, or a new one."""
        from .run.journal import RunJournal

        if self._options.shard is not None:
            return self._start_or_resume_shard(source, Shard.read(self._options.shard))
        drawn, engine = source.drawn_seed, self._recipe.engine
        for journal in RunJournal.unfinished(self._folder, self._key):
            source.use_drawn_seed(journal.seed)
            plans, failed = _plan(source, engine, journal.own_stems)
            same = journal.belongs_to(plans)
            if same and self._options.resume:
                self.resumed = True
                return plans, failed, journal
            journal.close(complete=same)  # with --resume false the earlier run is deleted
        source.use_drawn_seed(drawn)
        plans, failed = _plan(source, engine)
        return plans, failed, RunJournal.start(self._folder, self._key, drawn)

    def _start_or_resume_shard(
        self, source: ClipSource, shard: Shard
    ) -> tuple[list[ClipPlan], list[FailedPrompt], RunJournal]:
        """The same for a shard, whose journal stays when it is complete: a job that is started again makes no clip twice.

        Raises UsageError if another process works on this shard.
        """
        from .run.journal import RunJournal

        drawn, engine = source.drawn_seed, self._recipe.engine
        source.use_drawn_seed(0)  # what the shard is called must not depend on the one that is drawn
        content = hashlib.sha256("".join(map(self._key, _plan(source, engine)[0])).encode()).hexdigest()
        name = f"shard-{shard.number}-of-{shard.of}-{content[:16]}"
        journal = RunJournal.named(self._folder, name, self._key, drawn, self._options.resume)
        if journal is None:
            raise UsageError(
                f"--shard {self._options.shard}: another process works on this shard in {self._folder}; wait for its end"
            )
        return self._resume(source, journal)

    def _start_or_resume_named(
        self, source: ClipSource, name: str
    ) -> tuple[list[ClipPlan], list[FailedPrompt], RunJournal]:
        """The same for a job whose journal has a name. Raises UsageError if another process works on it."""
        from .run.journal import RunJournal

        journal = RunJournal.named(self._folder, name, self._key, source.drawn_seed, self._options.resume)
        if journal is None:
            raise UsageError(f"another process works on {name} in {self._folder}; wait for its end")
        return self._resume(source, journal)

    def _resume(self, source: ClipSource, journal: RunJournal) -> tuple[list[ClipPlan], list[FailedPrompt], RunJournal]:
        """Plan with what a journal says of an earlier process."""
        source.use_drawn_seed(journal.seed)
        plans, failed = _plan(source, self._recipe.engine, journal.own_stems)
        self.resumed = any(journal.done(plan) or journal.kept(plan) for plan in plans)
        return plans, failed, journal

    def _kept_segments(self, manifest: Manifest) -> dict[int, int]:
        """The segments that keep their tokens; with --regenerate alone, sets `regenerated`."""
        options, recipe = self._options, self._recipe
        if self.mended is not None:
            return self.mended.kept(options, lambda speaker: recipe.voice_of(speaker) is not None)
        assert options.regenerate is not None
        chosen = chosen_segments(options.regenerate, len(manifest.segments))
        has_voice = recipe.voice is not None
        self.regenerated = with_dependents(chosen, manifest, options, has_voice, recipe.voices)
        return {k: k for k in range(len(manifest.segments)) if k not in self.regenerated}

    @property
    def finished_clips(self) -> list[Path]:
        """The audio files of clips that an earlier run has finished."""
        return [path for _, path in self.clips]

    @property
    def clips(self) -> list[tuple[ClipPlan, Path]]:
        """The finished clips, of this run and of an earlier one: their plans and audio files, in order."""
        return [(plan, path) for plan in self.plans if (path := self._journal.done(plan))]

    @property
    def open_plans(self) -> list[ClipPlan]:
        """The plans of the clips that are not finished."""
        return [plan for plan in self.plans if not self._journal.done(plan)]

    @property
    def n_finished_segments(self) -> int:
        """The number of segments that an earlier run has finished, including those of finished clips."""
        done = sum(len(plan.segments) for plan in self.plans if self._journal.done(plan))
        return done + sum(self._journal.kept(plan) for plan in self.plans)

    def run(self, progress: Callable[[RunProgress], None] = lambda _: None) -> Generator[Result, None, None]:
        """Generate the unfinished clips. Yields each segment once it is written, each clip once it is complete, and failures.

        Closing the generator ends the run; finished segments are kept.
        """
        from .output.clip_files import save_clips

        with closing(self._known) if self._known is not None else nullcontext():
            yield from save_clips(
                self._recipe, self.open_plans, self._folder, self._options, self._journal, self._known, progress
            )


def _plan(
    source: ClipSource, engine: Engine, own_stems: Container[str] = ()
) -> tuple[list[ClipPlan], list[FailedPrompt]]:
    """As `ClipSource.plan`, with the engine's tokenizer, and settings as it takes them."""
    plans, failed = source.plan(partial(_count_ids, engine), own_stems)
    return with_sampling_settings(plans, source.options), failed


def with_random_voice(options: Options, source: ClipSource, recipe: Recipe) -> tuple[Options, Recipe, Path]:
    """Make the voice of --history_prompt random and keep it in --voice_dir.

    Returns the options that name it, so that manifests do, the recipe that has it, and its file. Raises VoiceError,
    OutputError.
    """
    from .output.clip_files import save_voice

    voice = make_voice(recipe.engine, seed_of_voice(options, source.drawn_seed), source.first_text)
    planned = planned_file(options, source.drawn_seed)
    path = save_voice(voice, planned.parent, planned.stem)
    of_speakers = {speaker: voice for speaker, named in source.voices.items() if named.voice is None}
    recipe = dataclasses.replace(recipe, voice=voice, voices={**recipe.voices, **of_speakers})
    found_by_name = options.voice_dir == Options.voice_dir  # also when the clip is made again from its manifest
    name = {"history_prompt": path.stem if found_by_name else str(path)}
    asked = None if options.asked is None else options.asked.with_settings(name)
    return dataclasses.replace(options.with_settings(name), asked=asked), recipe, path


def named_voices(source: ClipSource) -> list[str]:
    """Names and paths of all voices that a run is asked to speak with, without one that it makes itself."""
    options = source.options
    names = (
        options.history_prompt,
        options.bark_speaker_as_the_prompt,
        *(named.voice for named in source.voices.values()),
    )
    return [name for name in names if name not in (None, RANDOM)]


def load_cast(
    voices: Mapping[str, NamedVoice], load: Callable[[str], Voice | None], of_run: Voice | None
) -> dict[str, Voice]:
    """The starting voices of speakers, by speaker. Raises VoiceError that names the speaker.

    `of_run`: the voice of those that have none of their own; None: each gets a random one.
    """
    loaded: dict[str, Voice] = {}
    for speaker, (name, where) in voices.items():
        try:
            voice = of_run if name is None else load(name)
        except VoiceError as error:
            raise VoiceError(f"{where}: {error}") from None
        if voice is not None:
            loaded[speaker] = voice
    return loaded


def _count_ids(engine: Engine, text: str) -> int:
    """The number of WordPiece ids of a text; 0 for a text that the model cannot read."""
    try:
        return len(engine.encode(text))
    except TextError:
        return 0


# ---- one text -------------------------------------------------------------------------------------------------------


def narrate(
    bark: Bark,
    text: str | Path | Script | None,
    voice: Voice | str | Path | Mapping[str, np.ndarray] | None = None,
    *,
    seed: int | None = None,
    folder: str | Path | None = None,
    options: Options | None = None,
    progress: Callable[[RunProgress], None] = lambda _: None,
) -> Narration:
    """Speak a text or script of any length. Nothing is generated before the result is iterated, saved or asked for audio.

        from bark_infinity import Bark, narrate

        bark = Bark.load("demo")
        narration = narrate(bark, chapter, voice="demo_male", seed=1)
        for segment in narration:                     # in order, each as soon as it is finished
            print(f"{segment.start:7.2f} s  {segment.text}")
            play(segment.audio)                       # float32 samples at 24 kHz
        narration.save("chapter.flac")                # with its voice (.npz) and manifest (.json)

    `text` may have markup (docs/scripts.md), or is a Script of events; a Path is that of a text, subtitles or a book, as
    --prompt_file takes it (docs/books.md), of which `options` may choose `chapters`; it may be None where `options` have a
    `bark_speaker_as_the_prompt`, whose tokens are spoken. `voice`: of the run, and so the narrator's: a Voice
    (`Voice.clone("me.wav")` clones one from a recording), a path, a name as in --list_speakers, or the original's dict;
    None: a random one, set by the first segment. `seed`: the seed of every segment; None: drawn for each.
    `folder`: every finished segment and the finished clip are saved there, so that the same call resumes after an
    interruption, and memory does not grow; once the clip is finished, the same call makes a new one. None: everything is
    kept in memory. `options`: other settings, by the names of the command line's flags; those that only a command line
    can follow, or that name another model than `bark`, are refused. `progress` is called while a stage works.

    Raises TextError for a text without words, VoiceError for an unusable voice, UsageError for options that contradict
    each other or cannot be followed.
    """
    from .run.program_options import as_loaded, check_program_options, check_text

    asked = (options.asked or options) if options is not None else Options()
    check_program_options(asked, bark, in_memory=folder is None)
    check_text(text, asked)
    for name, argument in (("seed", seed), ("history_prompt", voice)):
        if argument is not None and getattr(asked, name) is not None:
            raise UsageError(f"options have {name}, and narrate is given another one; leave one of them out")
    script = text if isinstance(text, Script) else None
    given: dict[str, object] = {"seed": seed, "output_dir": None if folder is None else str(folder)}
    if isinstance(text, Path):
        given["prompt_file"] = str(text)
    elif script is None:
        given["text_prompt"] = text
    if isinstance(voice, str | Path):
        given["history_prompt"] = str(voice)
    asked = asked.with_settings({name: value for name, value in given.items() if value is not None})
    with python_words(_PYTHON_WORDS):
        resolved = resolve(as_loaded(asked, bark))
        if folder is not None:
            check_format(resolved.audio_format, resolved.output_format_ffmpeg_parameters or "")
        source = ClipSource(resolved, script=script)
        recipe = recipe_of(source, bark, voice)
        return Narration(source, recipe, in_memory=folder is None, progress=progress)


def recipe_of(
    source: ClipSource,
    bark: Bark,
    voice: Voice | str | Path | Mapping[str, np.ndarray] | None = None,
    engine: Engine | None = None,
    tell: Notify = _log.warning,
    load: LoadRecognizer | None = None,
) -> Recipe:
    """What a text and its options ask of a loaded Bark. Raises VoiceError, UsageError.

    `voice`: one that is given in place of the one they name. `engine`: what generates in place of `bark`, whose model is
    the same. `tell` is called with sentences for the user. `load`: in place of `run.recognizers.load_recognizer`.
    """
    from .checkpoints.hub import Hub
    from .run.recipe import Recipe
    from .run.recognizers import load_recognizer
    from .voices.custom_history import load_function

    options = source.options
    function_name = options.custom_audio_processing_function
    function = None if function_name is None else load_function(function_name)
    folders = voice_folders(options.output_dir, options.voice_dir)
    hub = Hub(options.model_dir, options.offline) if options.model_dir is not None or options.offline else bark.hub
    for recorded in voices_to_clone(named_voices(source), options.voice_dir):
        recorded.clone(bark.codec_model, hub, bark.codec_placement.device, tell)
    given = options.history_prompt if voice is None else voice
    starting = None if options.history_prompt == RANDOM else bark.find_voice(given, folders, hub)
    spoken = bark.find_voice(options.bark_speaker_as_the_prompt, folders, hub)
    voices = load_cast(source.voices, lambda name: bark.find_voice(name, folders, hub), starting)
    recognizer = (load or load_recognizer)(options, hub, tell)
    return Recipe.from_options(options, engine or bark, starting, spoken, function, voices, recognizer)


class Narration:
    """A text that is being spoken: iterating yields its segments in order, each as soon as it is finished.

    Created by `narrate`. It may be iterated again: finished segments come first, if they are in memory.
    """

    def __init__(
        self,
        source: ClipSource,
        recipe: Recipe,
        in_memory: bool,
        progress: Callable[[RunProgress], None] = lambda _: None,
    ):
        self._options, self._recipe, self._progress = source.options, recipe, progress
        self._cancelled = False
        self._job = None if in_memory else Job(source.options, source, recipe)
        if self._job is None:
            plans, failed = _plan(source, recipe.engine)
            if source.options.history_prompt == RANDOM:
                self._options, self._recipe, _ = with_random_voice(source.options, source, recipe)
        else:
            plans, failed = self._job.plans, self._job.failed_prompts
        if len(plans) + len(failed) != 1:
            raise UsageError("narrate makes one clip; leave out what cuts the text into several prompts or takes")
        self.plan = plans[0]
        """The plan of the clip: its segments with texts, seeds and pauses."""
        self.segments: list[FinishedSegment] = []
        """The finished segments, in order; stays empty for a narration that is kept in a folder."""
        self.clip: Clip | None = None
        """The finished clip: voice, seconds, and `path` where it is kept in a folder."""
        self.path: Path | None = None
        """The audio file in the folder, once it is finished; None without a folder."""
        self._results = self._generate()

    def __iter__(self) -> Iterator[FinishedSegment]:
        yield from list(self.segments)
        for segment in self._results:  # noqa: UP028 - `yield from` would close the generator when the caller leaves its loop
            yield segment

    def __repr__(self) -> str:
        state = "cancelled" if self._cancelled else "finished" if self.finished else "not finished"
        return f"Narration({self.plan.text[:40]!r}, {len(self.plan.segments)} segments, {state})"

    @property
    def finished(self) -> bool:
        """Whether all segments are generated and, with a folder, the files written."""
        return self.clip is not None or self.path is not None

    @property
    def audio(self) -> np.ndarray:
        """The audio of the whole clip, float32 (samples,) at 24 kHz; generates the segments that are missing.

        Raises UsageError for a narration that is kept in a folder.
        """
        if self._job is not None:
            raise UsageError("this narration is kept in a folder, not in memory; read its file, `narration.path`")
        self._finish()
        return np.concatenate([segment.sound for segment in self.segments])

    @property
    def voice(self) -> Voice | None:
        """The voice of the finished clip, for other texts; generates the segments that are missing. None if it is too short."""
        from .voices.voice import Voice

        self._finish()
        if self.clip is not None:
            return self.clip.voice
        saved = self.path and self.path.with_suffix(".npz")  # written by an earlier call
        return Voice.load(saved) if saved and saved.exists() else None

    def subtitles(self, format: str = "vtt", by: str = "segment") -> str:
        """Subtitles of the clip, as the content of a file; generates the segments that are missing.

        `format`: srt, vtt, ass, lrc or json. `by`: segment, sentence or word. Raises UsageError for others, and for a narration
        that is kept in a folder.
        """
        from .output.subtitles import subtitles_of

        if self._job is not None:
            raise UsageError(
                "this narration is kept in a folder; pass options=Options(subtitles=...) to have them there"
            )
        self._finish()
        return subtitles_of(self.segments, format, by)

    def cancel(self) -> None:
        """Stop within one step of the model; may be called from another thread. Finished segments stay; the iteration ends."""
        self._cancelled = True

    def close(self) -> None:
        """Stop between two segments, and free what the narration holds; for the thread that iterates."""
        self._results.close()

    def save(self, path: str | Path) -> Path:
        """Write audio in the format of the file ending, with the voice (`.npz`) and manifest (`.json`) beside it.

        Generates the segments that are missing. Nothing is overwritten: if the name is taken, `_1` and so on is added.
        Returns the path. Raises OutputError; UsageError for an unknown format, or if the narration was cancelled.
        """
        from .output.clip_files import write_clip
        from .output.restitching import restitch_file

        path, asked = Path(path), self._options.asked or self._options
        check_ending(path.name, str(path))
        if asked.output_format is not None and path.suffix.lower().removeprefix(".") not in FORMATS:
            path = path.with_name(f"{path.name}.{asked.output_format}")
        named = dataclasses.replace(asked, output_dir=str(path.parent), output_filename=path.name, output_format=None)
        if self._job is not None and path.suffix.lower().removeprefix(".") not in AV_FORMATS:
            named = dataclasses.replace(named, output_format_ffmpeg_parameters=None)  # they are those of the clip there
        with python_words(_PYTHON_WORDS):
            options = resolve(named)
            check_format(options.audio_format, options.output_format_ffmpeg_parameters or "")  # before anything is made
            self._finish()
            if self.path is None:
                assert self.clip is not None
                return write_clip(self.clip, self.segments, self._recipe.engine, options)
            return restitch_file(self.path, lambda codes: self._recipe.engine.decode([codes])[0], path, options)

    def _generate(self) -> Generator[FinishedSegment, None, None]:
        from .run.clips import Clip, FailedClip
        from .run.fleet_scheduler import make_scheduler

        if self._job is not None and self._job.finished_clips:
            (self.path,) = self._job.finished_clips
            return
        if self._job is not None:
            results = self._job.run(self._report)
        else:
            scheduler = make_scheduler(self._recipe, self._options.batch_size, progress=self._report)
            results = scheduler.run([self.plan])
        with python_words(_PYTHON_WORDS), closing(results):
            try:
                for result in results:
                    if isinstance(result, FailedClip):
                        raise result.error
                    if isinstance(result, Clip):
                        self.clip, self.path = result, result.path
                        continue
                    if self._job is None:
                        self.segments.append(result)
                    yield result
                    if self._cancelled:
                        return
            except _Cancelled:
                return

    def _report(self, progress: RunProgress) -> None:
        self._progress(progress)
        if self._cancelled:
            raise _Cancelled

    def _finish(self) -> None:
        """Generate the segments that are missing. Raises UsageError if the narration was cancelled or has failed."""
        for _ in self._results:
            pass
        if not self.finished:
            raise UsageError(
                "the narration was cancelled or failed before its end; call narrate again to make the rest"
            )


class _Cancelled(Exception):
    """Raised in the engine's progress callback to leave a stage at once."""
