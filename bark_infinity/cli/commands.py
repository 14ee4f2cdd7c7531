"""What a command line can ask for: show, plan, speak, make again, render. Imports torch only to make sound."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Container, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..audio.formats import check_format
from ..errors import EXIT_FAILED, EXIT_USAGE, BarkError, UsageError
from ..options.resolve import REPORTS
from ..options.table import Options
from ..output.clip_tokens import ClipTokens
from ..output.manifest import Manifest, check_unasked, differences, read_content, read_manifest
from ..output.remaking import chosen_segments, in_words, plan_again, plan_regenerated, with_hearers
from ..reports.tables import count
from ..run.planning import ClipPlan, CountIds, FailedPrompt, plan_clips
from ..run.prompts import read_prompts
from ..seeds import draw_seed
from ..voices.compatibility import SEMANTIC_VOCAB_SIZES, check_compatible, check_preset
from ..voices.custom_history import check_name, load_function
from ..voices.library import find_voice, list_voices, voice_folders
from ..voices.rendering import Skipped, render_voices, voices_to_render
from ..voices.voice import Voice
from . import console as view
from . import tables
from .first_steps import advice_without_text, samples_need_download
from .tables import MadeClip

if TYPE_CHECKING:  # these import torch
    from ..bark import Bark
    from ..checkpoints.hub import Hub
    from ..checkpoints.loading import ModelChoice
    from ..output.clip_files import SavedClip
    from ..run.clips import PlacedSegment
    from ..run.journal import RunJournal
    from ..run.scheduler import LongForm

_MOST_FAULTY_TOLD = 20  # segments; more lines hide the others


def run(options: Options, console: Console) -> int:
    """Do what resolved options ask for; the exit status. Raises BarkError for what makes the whole run impossible."""
    if options.list_speakers:
        voices = list_voices(voice_folders(options.output_dir))
        tables.show_voices(console, voices)
        view.print_for_pipes(voice.name for voice in voices)
        return 0
    if show_reports(options, console) and not _has_input(options):
        return 0
    if options.convert_model is not None:
        return convert(options, console)
    check_format(options.output_format, options.output_format_ffmpeg_parameters or "")
    if options.render_npz_samples is not None:
        return render(options, console)
    if samples_need_download(options):
        view.print_text(console, Text(advice_without_text(options)))
        return EXIT_USAGE
    task = _Task(options)
    for name in (options.history_prompt, options.bark_speaker_as_the_prompt):
        if name is not None:
            check_voice(name, options)
    if options.custom_audio_processing_function is not None:
        check_name(options.custom_audio_processing_function)
    plans, failed = task.plan()
    if not options.text_splits_only and not options.dry_run:
        return (restitch if options.restitch else perform)(options, task, console)
    for prompt in failed:
        view.warn(console, f"{prompt.error}; this prompt is left out")
    if options.text_splits_only:
        tables.show_splits(console, plans)
        view.print_for_pipes(segment.text for plan in plans for segment in plan.segments)
    else:
        tables.show_plan(console, plans, options)
    return 0


def show_reports(options: Options, console: Console) -> bool:
    """Show the reports that are asked for; whether there were any."""
    wanted = [name for name in REPORTS if getattr(options, name)]
    if wanted:
        from ..reports.catalogue import REPORTS as BUILDERS

        for name in wanted:
            console.print(BUILDERS[name](), "")
    return bool(wanted)


def _voice_folders(options: Options) -> tuple[Path, ...]:
    """Where voices are looked up by name: also beside a manifest, where the clip's own voices are."""
    beside = () if options.from_manifest is None else (Path(options.from_manifest).parent,)
    asked = (options.asked or options).output_dir  # --output_filename may lead elsewhere
    return tuple(dict.fromkeys((*voice_folders(asked), Path(options.output_dir), *beside)))


def check_voice(name: str, options: Options) -> None:
    """Raise VoiceError, before anything is loaded, for a voice that is not there, no voice, or for another model."""
    path = find_voice(name, _voice_folders(options))
    vocab_size = SEMANTIC_VOCAB_SIZES.get(options.model)
    if path is not None:
        voice = Voice.load(path)
        if vocab_size is not None:
            check_compatible(voice, f"the voice {name}", options.model, vocab_size)
    elif vocab_size is not None:
        check_preset(name, options.model, vocab_size)


def _has_input(options: Options) -> bool:
    sources = (options.text_prompt, options.prompt_file, options.from_manifest, options.bark_speaker_as_the_prompt)
    return any(source is not None for source in (*sources, options.render_npz_samples, options.convert_model))


class _Task:
    """The clips of a run: those of the given prompts, or the one of a manifest."""

    def __init__(self, options: Options):
        self.options, self.drawn_seed = options, draw_seed()
        self.manifest: Manifest | None = None
        self.prompts: Sequence[str] = ()
        if options.from_manifest is None:
            self.prompts = read_prompts(options, self.drawn_seed)
            return
        self.manifest = read_manifest(options.from_manifest)
        check_unasked(self.manifest, options.from_manifest, options)

    def plan(
        self, count_ids: CountIds | None = None, own_stems: Container[str] = ()
    ) -> tuple[list[ClipPlan], list[FailedPrompt]]:
        """All clips, and the prompts that cannot be spoken. Raises TextError if none can."""
        if self.manifest is not None and self.options.regenerate is not None:
            return [plan_regenerated(self.manifest, self.options, self.drawn_seed, own_stems)], []
        if self.manifest is not None:
            return [plan_again(self.manifest, self.options, count_ids, own_stems)], []
        return plan_clips(self.prompts, self.options, self.drawn_seed, count_ids, own_stems)

    def go_on_from(self, drawn_seed: int) -> None:
        """Plan with the seed of an earlier run."""
        at_random = self.options.split_input_into_separate_prompts_by == "random"
        source = self.options.prompt_file
        if drawn_seed != self.drawn_seed and at_random and (source is None or os.path.isfile(source)):
            self.prompts = read_prompts(self.options, drawn_seed)  # a pipe is read but once
        self.drawn_seed = drawn_seed


# ---- making sound ---------------------------------------------------------------------------------------------------


def perform(options: Options, task: _Task, console: Console) -> int:
    """Make the sound. Whatever of a user's mistakes can be known is raised before the first second of it."""
    from ..bark import Bark, load_voice
    from ..checkpoints.hub import Hub
    from ..checkpoints.loading import ModelChoice, load_models
    from ..model.devices import use_physical_cores
    from ..output.clip_files import check_output_folder
    from ..run.scheduler import LongForm

    start = time.monotonic()
    use_physical_cores()
    folder = check_output_folder(options.output_dir)
    view.say_loading(console, options.model)
    hub, folders = Hub(options.model_dir, options.offline), _voice_folders(options)
    name = options.custom_audio_processing_function
    function = None if name is None else load_function(name)
    choice = ModelChoice.from_options(options)
    voice = load_voice(options.history_prompt, hub, folders) or clone(options, choice, hub, folder, console)
    spoken = load_voice(options.bark_speaker_as_the_prompt, hub, folders)
    bark = Bark(load_models(choice))
    for given, said in ((voice, options.history_prompt), (spoken, options.bark_speaker_as_the_prompt)):
        bark.check_voice(given, f"the voice {said or options.audio_file_as_history_prompt}")
    form = LongForm.from_options(options, bark, voice, spoken, function)
    plans, failed, journal = start_or_go_on(task, form, folder, options, console)
    if options.regenerate is not None:
        form.known = known_segments(task.manifest, form, options, console)
    form.journal, unmade = journal, [plan for plan in plans if not journal.done(plan)]
    if (over := _ids_over(options.negative_text_prompt, bark)) > 0:
        view.warn(console, f"--negative_text_prompt: its last {over} tokens are beyond those the model reads")
    made: list[MadeClip] = []
    failures = [(prompt.text, prompt.error) for prompt in failed]
    try:
        with view.RunDisplay(console, sum(len(plan.segments) for plan in unmade), options.silent) as display:
            form.progress = display.update
            save_all(form, unmade, made, failures, options, folder, console, len(plans) == 1)
    finally:  # interrupted or not
        close(console, made, failures, len(plans) + len(failed) > 1, time.monotonic() - start)
    if task.manifest is not None and options.regenerate is None and made:
        compare(task.manifest, made[0].path, options, console)
    return EXIT_FAILED if failures else 0


def start_or_go_on(
    task: _Task, form: LongForm, folder: Path, options: Options, console: Console
) -> tuple[list[ClipPlan], list[FailedPrompt], RunJournal]:
    """What is to be made, and the journal: of an earlier run that was to make the same, or of a new one."""
    from ..output.clip_files import clip_keys
    from ..run.journal import RunJournal

    def count_ids(text: str) -> int:
        return len(form.bark.tokenizer.encode(text))

    drawn, key = task.drawn_seed, clip_keys(options, form)
    for journal in RunJournal.unfinished(folder, key):
        task.go_on_from(journal.seed)
        plans, failed = task.plan(count_ids, journal.own_stems)
        same = journal.belongs_to(plans)
        if same and options.resume:
            say_going_on(console, plans, journal)
            return plans, failed, journal
        journal.close(complete=same)  # of the same, told to start over, nothing is left
    task.go_on_from(drawn)
    plans, failed = task.plan(count_ids)
    return plans, failed, RunJournal.start(folder, key, drawn)


def known_segments(manifest: Manifest, form: LongForm, options: Options, console: Console) -> ClipTokens:
    """For --regenerate: the segments that stay as they are. Tells which do not."""
    chosen = chosen_segments(options.regenerate, len(manifest.segments))
    again = with_hearers(chosen, manifest, options, form.voice is not None)
    tokens = ClipTokens(options.from_manifest, manifest, leave_out=again)
    hearers = f", and with them {in_words(again - chosen)}, which hear them" if again - chosen else ""
    stay = f"{count(len(tokens), 'segment')} {'stays' if len(tokens) == 1 else 'stay'}"
    view.say(console, f"made again: {in_words(chosen)}{hearers}; {stay}")
    return tokens


def say_going_on(console: Console, plans: Sequence[ClipPlan], journal: RunJournal) -> None:
    """Tell what an earlier run has done, with the paths of its clips on stdout as if they had been made now."""
    finished = [plan for plan in plans if journal.done(plan)]
    for plan in finished:
        view.print_result(journal.done(plan))
    segments = sum(len(plan.segments) for plan in finished)
    segments += sum(journal.kept(plan) for plan in plans)
    clips = f"{len(finished)} of {count(len(plans), 'clip')} and " if len(plans) > 1 else ""
    total = count(sum(len(plan.segments) for plan in plans), "segment")
    view.say(console, f"going on: {clips}{segments} of {total} were done; --resume false starts over")


def close(
    console: Console,
    made: Sequence[MadeClip],
    failures: Sequence[tuple[str, BarkError]],
    several: bool,
    seconds_taken: float,
) -> None:
    """Tell what is made, in a table where there are several, and what failed and why."""
    if several:
        tables.show_closing(console, made, len(failures), seconds_taken)
    for text, error in failures:
        view.report_error(console, f"not made: {' '.join(text.split())[:40]!r}: {error}")


def clone(options: Options, choice: ModelChoice, hub: Hub, folder: Path, console: Console) -> Voice | None:
    """The voice of --audio_file_as_history_prompt, saved in the output folder; None where it is not given."""
    if options.audio_file_as_history_prompt is None:
        return None
    from ..checkpoints.loading import codec_device
    from ..output.clip_files import save_voice
    from ..voices.cloning import clone_voice

    recording = Path(options.audio_file_as_history_prompt)
    cloned = clone_voice(recording, choice.model_of("fine"), hub, codec_device(choice))
    for warning in cloned.warnings:
        view.warn(console, f"{recording}: {warning}")
    path = save_voice(cloned.voice, folder, recording.stem)
    view.say(console, f"cloned {recording} to {path}: {'; '.join(cloned.notes)}")
    return cloned.voice


def _ids_over(text: str | None, bark: Bark) -> int:
    """WordPiece ids of a text beyond those that the model reads."""
    return 0 if text is None else len(bark.encode(text)) - bark.spec.max_text_ids


def save_all(
    form: LongForm,
    plans: Sequence[ClipPlan],
    finished: list[MadeClip],
    failures: list[tuple[str, BarkError]],
    options: Options,
    folder: Path,
    console: Console,
    alone: bool,
) -> None:
    """Make and write all clips and print their paths; note those made, and the texts of those that failed and why.

    `alone`: the clip is the only one of the run, so all seconds that go by are its own.
    """
    from ..output.clip_files import save_clips
    from ..run.clips import FailedClip, PlacedSegment

    start = time.monotonic()
    report = view.FaultReport(console, _MOST_FAULTY_TOLD, options.check_segments == "retry")
    with closing(save_clips(form, plans, folder, options)) as results, closing(report):
        for result in results:
            plan = result.plan
            if isinstance(result, PlacedSegment):
                where = f"{plan.stem}, segment {result.index + 1}"
                _warn_of(result, where, console)
                report.add(where, result.record.tries)
                continue
            if isinstance(result, FailedClip):
                failures.append((plan.text, result.error))
                continue
            clip, place = result.record, (plan.prompt_index, plan.take)
            taken = time.monotonic() - start if alone else clip.seconds_taken_now
            finished.append(MadeClip(place, result.path, clip.seconds, taken, plan.seed))
            view.print_result(result.path)
            tables.show_made(console, finished[-1])
            _warn_of_clipping(result, options, console)
            if options.show_generation_times:
                tables.show_times(console, clip.segments)


def _warn_of(segment: PlacedSegment, where: str, console: Console) -> None:
    if cut := segment.record.cut_ids:
        view.warn(console, f"{where}: {cut} of the text's tokens are beyond the 256 the model reads and stay unsaid")
    if segment.generation.silent and segment.record.kept.faults is None:  # else that is one of its faults
        view.warn(console, f"{where}: the model ended the speech at once; another --seed may say it")


def _warn_of_clipping(saved: SavedClip, options: Options, console: Console) -> None:
    if sentence := saved.level.clipping(options.gain_db):
        view.warn(console, f"{saved.path}: {sentence}")


def compare(manifest: Manifest, audio: Path, options: Options, console: Console) -> None:
    """Say whether a clip made again is the same, and if not, what differs."""
    again = read_content(str(audio.with_name(f"{audio.name.removesuffix(f'.{options.output_format}')}.json")))
    if manifest.content.get("audio_sha256") == again["audio_sha256"]:
        view.say(console, f"the same as that of {options.from_manifest}, bit for bit")
        return
    unlike = differences(manifest.content, again) or ["nothing that is known; it may have run in another batch"]
    view.warn(console, f"the sound is not that of {options.from_manifest}; what differs: {'; '.join(unlike)}")


# ---- clips from their tokens ----------------------------------------------------------------------------------------


def restitch(options: Options, task: _Task, console: Console) -> int:
    """--restitch: the audio of a clip again, from its tokens; of the model only the codec is loaded."""
    from ..checkpoints.loading import ModelChoice, load_codec
    from ..model.devices import use_physical_cores
    from ..output.clip_files import check_output_folder
    from ..output.restitching import restitch_clip

    use_physical_cores()
    folder = check_output_folder(options.output_dir)
    (plan,), _ = task.plan()
    with closing(ClipTokens(options.from_manifest, task.manifest)) as tokens:
        view.say_loading(console, f"{options.model}, its codec")
        codec = load_codec(ModelChoice.from_options(options))
        saved = restitch_clip(task.manifest, plan, tokens, codec.decode, folder, options)
    view.print_result(saved.path)
    segments = count(len(plan.segments), "segment")
    view.say(console, f"stitched again: {saved.record.seconds:.1f} s of sound from {segments}")
    _warn_of_clipping(saved, options, console)
    return 0


# ---- voices to audio ------------------------------------------------------------------------------------------------


def render(options: Options, console: Console) -> int:
    """--render_npz_samples: every voice of a folder as sound beside it."""
    voices = voices_to_render(options.render_npz_samples)
    if options.dry_run or options.text_splits_only:
        for path in voices:
            view.say(console, f"{path} would become {path.with_suffix(f'.{options.output_format}')}")
        return 0
    from ..checkpoints.loading import ModelChoice, load_codec
    from ..model.devices import use_physical_cores
    from ..output.clip_files import write_sound

    use_physical_cores()
    view.say_loading(console, f"{options.model}, its codec")
    codec = load_codec(ModelChoice.from_options(options))
    skipped, faults = 0, 0
    for result in render_voices(
        voices, options.output_format, codec.decode, lambda path, *sound: write_sound(path, *sound, options)
    ):
        if isinstance(result, Skipped):
            skipped, faults = skipped + 1, faults + result.fault
            view.warn(console, f"skipped: {result.reason}")
        else:
            view.print_result(result.audio)
    view.say(console, f"{count(len(voices) - skipped, 'voice')} rendered, {skipped} skipped")
    return EXIT_FAILED if faults else 0


# ---- models to folders ----------------------------------------------------------------------------------------------


def convert(options: Options, console: Console) -> int:
    """--convert_model: the chosen model as a folder of its own, in the layout of transformers."""
    folder = Path(options.convert_model)
    dtype = "bfloat16" if options.dtype == "auto" else options.dtype
    if not _is_free(folder):
        raise UsageError(f"--convert_model {folder} is there already; give a folder that is new or empty")
    if options.dry_run or options.text_splits_only:
        small = {"semantic": options.text_use_small, "coarse": options.coarse_use_small, "fine": options.fine_use_small}
        stages = ", ".join(f"{stage} stage from {'small' if use else options.model}" for stage, use in small.items())
        view.say(console, f"{folder} would become a model in {dtype}: {stages}")
        return 0
    from ..checkpoints.convert import new_folder, write_model
    from ..checkpoints.finding import find_checkpoints
    from ..checkpoints.hub import Hub
    from ..checkpoints.loading import ModelChoice
    from ..checkpoints.reading import STAGES
    from ..model.devices import DTYPES

    view.say_loading(console, options.model)
    choice = ModelChoice.from_options(options)
    with new_folder(folder) as parts:
        hub = Hub(choice.model_dir, choice.offline, choice.force_reload)
        checkpoints = find_checkpoints({stage: choice.model_of(stage) for stage in STAGES}, hub)
        write_model(checkpoints, parts, DTYPES[dtype])
    view.print_result(folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    name = shlex.quote(os.path.join(os.curdir, folder))  # a folder called large is not the model large
    view.say(console, f"saved {size:,.0f} MB in {folder}; to speak with it: --model {name} --dtype {dtype}")
    return 0


def _is_free(folder: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    try:
        return not os.listdir(folder)
    except OSError:
        return not os.path.lexists(folder)
