"""Runs a job on the command line: shows its progress, warns of faulty segments and lists the results."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..errors import EXIT_FAILED, BarkError
from ..narration import ClipSource, Job, load_cast
from ..options.table import Options
from ..output.audition_page import AuditionedClip, write_audition_page
from ..output.manifest import Manifest, differences, read_content
from ..output.remaking import chosen_segments, describe_regenerated
from ..reports.tables import count
from ..run.naming import audio_suffix
from ..run.random_voice import RANDOM
from ..voices.custom_history import load_function
from ..voices.voice import Voice
from . import console as view
from . import tables
from .delivery_report import passes_delivery, warn_of_delivery
from .machines import open_cluster, show_workers
from .script_tables import show_mended
from .signals import import_torch
from .tables import ClipRow
from .takes_table import say_chosen_takes, show_takes
from .voices import clone_named, voice_folders_of

if TYPE_CHECKING:  # these import torch
    from ..bark import Bark
    from ..checkpoints.hub import Hub
    from ..checkpoints.loading import ModelChoice
    from ..run.clips import Clip, FinishedSegment
    from ..run.cluster import Cluster
    from ..run.recipe import Recipe

_MOST_FAULTY_SHOWN = 20  # segments; more lines would hide the others


def speak(options: Options, source: ClipSource, console: Console) -> int:
    """Generate all clips. Returns the exit status. User errors that can be known in advance are raised before that."""
    start = time.monotonic()
    warn_of_delivery(options, console)
    with ExitStack() as workers:
        recipe = load(options, source, console, workers)
        if options.history_prompt == RANDOM:
            view.say(console, "making a new voice")
        return make(options, source, recipe, console, start)


def cluster_of(options: Options, recipe: Recipe) -> Cluster | None:
    """The workers of a run; None without --cluster."""
    if options.cluster is None:
        return None
    from ..run.cluster import Cluster

    assert isinstance(recipe.engine, Cluster)
    return recipe.engine


def make(options: Options, source: ClipSource, recipe: Recipe, console: Console, start: float) -> int:
    """Generate all clips with a loaded model. `start`: of the command, in seconds. Returns the exit status."""
    job = Job(options, source, recipe)
    if job.new_voice is not None:
        name = job.new_voice.stem
        view.say(console, f"its name is {name}, kept as {job.new_voice}; --history_prompt {name} speaks in it again")
    if job.resumed:
        report_resumed(console, job)
    if job.mended is not None:
        show_mended(console, job.mended, job.kept)
    elif options.regenerate is not None and source.manifest is not None:
        report_regenerated(console, job, options, source.manifest)
    if options.take is not None and source.manifest is not None:
        say_chosen_takes(console, options, source, job.kept)
    finished: list[ClipRow] = []
    failures: list[tuple[str, BarkError]] = [(prompt.text, prompt.error) for prompt in job.failed_prompts]
    try:
        n_segments = sum(len(plan.segments) for plan in job.open_plans)
        with view.RunDisplay(console, n_segments, options.silent) as display:
            run(job, display, finished, failures, options, console)
        if options.audition is not None and job.clips:
            clips = [AuditionedClip(source.auditioned_voice(plan), plan.text, path) for plan, path in job.clips]
            view.print_result(write_audition_page(Path(options.output_dir), clips))
    finally:  # interrupted or not
        several = len(job.plans) + len(job.failed_prompts) > 1
        close(console, finished, failures, several, time.monotonic() - start)
        if (cluster := cluster_of(options, recipe)) is not None:
            show_workers(console, cluster, time.monotonic() - start)
    if source.manifest is not None and options.regenerate is None and job.mended is None and finished:
        compare(source.manifest, finished[0], options, console)
    delivered = passes_delivery(job.finished_clips, options, console)
    return EXIT_FAILED if failures or not delivered else 0


def load(options: Options, source: ClipSource, console: Console, workers: ExitStack) -> Recipe:
    """Load the model, voices and function. `workers`: ends the workers of --cluster.

    Raises UsageError, VoiceError, CheckpointError, OutputError.
    """
    import_torch()
    from ..bark import load_voice
    from ..checkpoints.hub import Hub
    from ..checkpoints.loading import ModelChoice
    from ..model.devices import use_physical_cores
    from ..output.clip_files import check_output_folder
    from ..run.recipe import Recipe
    from ..run.recognizers import load_recognizer

    use_physical_cores()
    folder = check_output_folder(options.output_dir)
    view.say_loading(console, options.model)
    hub, folders = Hub(options.model_dir, options.offline), voice_folders_of(options)
    function_name = options.custom_audio_processing_function
    function = None if function_name is None else load_function(function_name)
    choice = ModelChoice.from_options(options)
    clone_named(options, source, choice, hub, console)
    named = None if options.history_prompt == RANDOM else options.history_prompt  # a job makes that one itself
    voice = load_voice(named, hub, folders) or clone(options, choice, hub, folder, console)
    spoken = load_voice(options.bark_speaker_as_the_prompt, hub, folders)
    voices = load_cast(source.voices, lambda name: load_voice(name, hub, folders), voice)
    bark = load_engine(options, choice, console, workers)
    for given, name in ((voice, options.history_prompt), (spoken, options.bark_speaker_as_the_prompt)):
        bark.check_voice(given, f"the voice {name or options.audio_file_as_history_prompt}")
    for speaker, own in voices.items():
        bark.check_voice(own, f"the voice of {speaker}")
    if (over := _ids_over(options.negative_text_prompt, bark)) > 0:
        view.warn(console, f"--negative_text_prompt: its last {over} tokens are beyond those the model reads")
    if not gc.isenabled():  # since the program's start
        gc.freeze()  # what stays for the whole run need not be looked through again and again
        gc.enable()
    recognizer = load_recognizer(options, hub, lambda message: view.warn(console, message))
    return Recipe.from_options(options, bark, voice, spoken, function, voices, recognizer)


def load_engine(options: Options, choice: ModelChoice, console: Console, workers: ExitStack) -> Bark | Cluster:
    """Load the model, here or on the workers of --cluster, which `workers` ends."""
    from ..bark import Bark
    from ..checkpoints.loading import load_models

    if options.cluster is not None:
        return workers.enter_context(closing(open_cluster(options, choice, console)))
    bark = Bark(load_models(choice))
    if bark.advice is not None:
        view.say(console, bark.advice)
    return bark


def clone(options: Options, choice: ModelChoice, hub: Hub, folder: Path, console: Console) -> Voice | None:
    """Clone the voice of --audio_file_as_history_prompt and save it in the output folder; None if it is not given."""
    if options.audio_file_as_history_prompt is None:
        return None
    from ..checkpoints.loading import codec_device
    from ..output.clip_files import save_voice
    from ..voices.cloning import clone_voice

    recording = Path(options.audio_file_as_history_prompt)
    cloned = clone_voice(recording, choice.model_of("fine"), hub, codec_device(choice))
    for warning in cloned.warnings:
        view.warn(console, f"{recording}: {warning}")
    voice = Voice.from_prompts(cloned.prompts, f"the voice cloned from {recording}")
    path = save_voice(voice, folder, recording.stem)
    view.say(console, f"cloned {recording} to {path}: {'; '.join(cloned.notes)}")
    return voice


def _ids_over(text: str | None, bark: Bark | Cluster) -> int:
    """By how many WordPiece ids a text exceeds what the model reads; negative or 0 if it fits."""
    return 0 if text is None else len(bark.encode(text)) - bark.spec.max_text_ids


def run(
    job: Job,
    display: view.RunDisplay,
    finished: list[ClipRow],
    failures: list[tuple[str, BarkError]],
    options: Options,
    console: Console,
) -> None:
    """Generate all clips and print their paths; append to `finished` and `failures` (text, error)."""
    from ..run.clips import FailedClip, FinishedSegment
    from ..run.takes import TakeRules

    start = time.monotonic()
    report = view.FaultReport(
        console, _MOST_FAULTY_SHOWN, options.check_segments == "retry", TakeRules.from_options(options)
    )
    with closing(job.run(display.update)) as results, closing(report):
        for result in results:
            plan = result.plan
            if isinstance(result, FinishedSegment):
                where = f"{plan.stem}, segment {result.index + 1}"
                _warn_of(result, where, console)
                report.add(where, result.record)
            elif isinstance(result, FailedClip):
                failures.append((plan.text, result.error))
            else:
                assert result.path is not None  # a job writes its clips
                # A single clip is charged with all the time that has passed.
                taken = time.monotonic() - start if len(job.plans) == 1 else result.seconds_taken_now
                place = (plan.prompt_index, plan.take)
                finished.append(ClipRow(place, result.path, result.seconds, taken, plan.seed, result.audio_sha256))
                view.print_result(result.path)
                tables.show_clip(console, finished[-1])
                warn_of_sound(result, options, console)
                report_late_cues(result, console)
                if options.show_generation_times:
                    tables.show_times(console, result.segments)
                if options.show_takes:
                    show_takes(console, plan.stem, [(segment.tries, segment.chosen) for segment in result.segments])


def _warn_of(segment: FinishedSegment, where: str, console: Console) -> None:
    if cut := segment.record.cut_ids:
        view.warn(console, f"{where}: {cut} of the text's tokens are beyond the 256 the model reads and are not spoken")
    if segment.generation.silent and segment.record.kept.faults is None:  # else that is one of its faults
        view.warn(console, f"{where}: the model ended the speech at once; another --seed may say it")


def warn_of_sound(clip: Clip, options: Options, console: Console) -> None:
    """Warn if a written clip has not the loudness asked for, or is audibly clipped, with the gain that would fit."""
    for note in clip.notes:
        view.warn(console, f"{clip.path}: {note}")
    if clip.level is not None and (sentence := clip.level.clipping(options.gain_db)):
        view.warn(console, f"{clip.path}: {sentence}")


def report_late_cues(clip: Clip, console: Console) -> None:
    """Print how many cues of --fit_subtitles begin late."""
    if (late := clip.lateness) is not None:
        (view.warn if late.n_late else view.say)(console, late.describe())


# ---- what is reported before and after ------------------------------------------------------------------------------


def report_regenerated(console: Console, job: Job, options: Options, manifest: Manifest) -> None:
    """Print which segments are made again, which others depend on them, and how many stay."""
    n = len(manifest.segments)
    chosen = chosen_segments(options.regenerate or "", n)
    view.say(console, describe_regenerated(chosen, job.regenerated, n))


def report_resumed(console: Console, job: Job) -> None:
    """Print what an earlier run has finished; the paths of its clips go to stdout, like those of new ones."""
    finished = job.finished_clips
    for path in finished:
        view.print_result(path)
    clips = f"{len(finished)} of {count(len(job.plans), 'clip')} and " if len(job.plans) > 1 else ""
    total = count(sum(len(plan.segments) for plan in job.plans), "segment")
    view.say(console, f"going on: {clips}{job.n_finished_segments} of {total} were done; --resume false starts over")


def close(
    console: Console,
    finished: Sequence[ClipRow],
    failures: Sequence[tuple[str, BarkError]],
    several: bool,
    seconds_taken: float,
) -> None:
    """Print a table of the finished clips if there are several, and an error message for each failure."""
    if several:
        tables.show_closing(console, finished, len(failures), seconds_taken)
    for text, error in failures:
        view.report_error(console, f"not made: {' '.join(text.split())[:40]!r}: {error}")


def compare(manifest: Manifest, clip: ClipRow, options: Options, console: Console) -> None:
    """Print whether a clip made again is identical to the original, and if not, what differs."""
    if manifest.content.get("audio_sha256") == clip.audio_sha256:
        view.say(console, f"the same as that of {options.from_manifest}, bit for bit")
        return
    stem = clip.path.name.removesuffix(audio_suffix(options))
    new_content = read_content(str(clip.path.with_name(f"{stem}.json")))
    unlike = differences(manifest.content, new_content) or ["nothing that is known; it may have run in another batch"]
    view.warn(console, f"the sound is not that of {options.from_manifest}; what differs: {'; '.join(unlike)}")
