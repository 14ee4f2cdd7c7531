"""The commands: show reports and plans, speak, restitch, render voices, convert models. Imports torch only if needed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ..audio.formats import check_format
from ..checkpoints.places import check_model_name
from ..errors import EXIT_FAILED, EXIT_USAGE, UsageError, VoiceError
from ..narration import ClipSource
from ..options.resolve import REPORTS
from ..options.table import Options
from ..output.clip_tokens import ClipTokens
from ..output.remaking import chosen_segments, chosen_takes, describe_regenerated, with_dependents
from ..output.script_file import export_script
from ..reports.tables import count
from ..run.planning import ClipPlan
from ..run.random_voice import RANDOM, planned_file
from ..voices.library import list_voices, voice_folders
from ..voices.rendering import Skipped, render_voices, voices_to_render
from . import console as view
from . import tables
from .chapter_table import show_chapters
from .delivery_report import passes_delivery, warn_of_delivery
from .first_steps import advice_without_text, models_of, samples_need_download
from .script_tables import show_mended, show_script
from .signals import import_torch
from .speak import report_late_cues, speak, warn_of_sound
from .takes_table import say_chosen_takes, show_recorded_takes, show_takes
from .voices import check_voices, missing_voices, only_shows, told_once


def run(options: Options, console: Console) -> int:
    """Do what resolved options ask for. Returns the exit status. Raises BarkError if nothing can be done."""
    if options.list_speakers:
        folders = voice_folders(options.output_dir, options.voice_dir)
        voices = list_voices(folders, Path(options.voice_dir))
        tables.show_voices(console, voices)
        view.print_for_pipes(voice.name for voice in voices)
        return 0
    if show_reports(options, console) and not _has_input(options):
        return 0
    if options.convert_model is not None:
        return convert(Path(options.convert_model), options, console)
    if options.voice_report is not None:
        from .voice_report import report_voice

        return report_voice(options.voice_report, options, console)
    check_format(options.audio_format, options.output_format_ffmpeg_parameters or "")
    check_models(options)
    if options.render_npz_samples is not None:
        return render(options.render_npz_samples, options, console)
    if samples_need_download(options):
        view.print_text(console, Text(advice_without_text(options)))
        return EXIT_USAGE
    source = ClipSource(options, lambda message: view.say(console, message))
    if options.list_chapters:
        show_chapters(console, source, options)
        return 0
    if options.export_script is not None:
        return export(Path(options.export_script), source, console)
    options = source.options
    missing: dict[str, VoiceError] = {}
    if not options.restitch:  # restitching uses the clip's tokens and needs neither voices nor a function
        tell = told_once(lambda sentence: view.say(console, sentence))
        check_voices(options, tell)
        missing = missing_voices(source, tell)
        if missing and not options.dry_run:  # which shows which of the cast are there
            raise next(iter(missing.values()))
    plans, failed = source.plan()
    if options.shard is not None and not plans and not failed:
        view.say(console, f"shard {options.shard} has no clip: there are fewer clips than shards")
        return 0
    if not only_shows(options):
        return restitch(options, source, console) if options.restitch else speak(options, source, console)
    for prompt in failed:
        view.warn(console, f"{prompt.error}; this prompt is left out")
    if options.text_splits_only:
        tables.show_splits(console, plans)
        view.print_for_pipes(segment.text for plan in plans for segment in plan.segments)
    else:
        show_dry_run(options, source, plans, console)
        if options.history_prompt == RANDOM:
            view.say(console, f"a new voice would be made and kept as {planned_file(options, source.drawn_seed)}")
        show_script(console, source, plans, missing)
        if missing:
            raise next(iter(missing.values()))
    return 0


def export(path: Path, source: ClipSource, console: Console) -> int:
    """--export_script: write what would be spoken as a script. Returns the exit status."""
    assert source.script is not None  # the flag needs a text
    cover = source.book.cover
    export_script(path, replace(source.script, book=source.book.tags), None if cover is None else cover.image)
    view.print_result(path)
    view.say(console, f"edit it, and speak it with --prompt_file {shlex.quote(str(path))}")
    return 0


def show_dry_run(options: Options, source: ClipSource, plans: Sequence[ClipPlan], console: Console) -> None:
    """--dry_run: show the plans; for a clip that is made again, also which segments are new and which are kept."""
    if options.show_takes and source.manifest is not None:
        show_recorded_takes(console, Path(options.from_manifest or "").stem, source.manifest)
    if source.manifest is None or not (source.mends or options.restitch or options.regenerate is not None):
        tables.show_plan(console, plans, options)
        return
    n = len(source.manifest.segments)
    has_voice, with_voice = source.given_voices()
    if source.mended is not None:
        kept = source.mended.kept(options, lambda name: has_voice if name is None else name in with_voice)
        marks = [
            "kept" if k in kept else "new (depends)" if k in source.mended.unchanged else "new"
            for k in range(len(plans[0].segments))
        ]
        tables.show_plan(console, plans, options, marks)
        show_mended(console, source.mended, kept)
        if options.take is not None:
            say_chosen_takes(console, options, source, kept)
        return
    if options.restitch:
        tables.show_plan(console, plans, options, ["kept"] * n)
        if options.take is not None:
            say_chosen_takes(console, options, source, {k: k for k in range(n)})
            return
        view.say(console, f"stitched again: all of {count(n, 'segment')} keep their tokens")
        return
    chosen = chosen_segments(options.regenerate or "", n)
    again = with_dependents(chosen, source.manifest, options, has_voice, voices=with_voice)
    marks = ["new" if k in chosen else "new (depends)" if k in again else "kept" for k in range(n)]
    tables.show_plan(console, plans, options, marks)
    view.say(console, describe_regenerated(chosen, again, n))
    if options.take is not None:
        say_chosen_takes(console, options, source, {k: k for k in range(n) if k not in again})


def show_reports(options: Options, console: Console) -> bool:
    """Show the reports that options ask for. Returns whether there were any."""
    wanted = [name for name in REPORTS if getattr(options, name)]
    if wanted:
        from ..reports.catalogue import REPORTS as BUILDERS

        for name in wanted:
            console.print(BUILDERS[name](), "")
    return bool(wanted)


def check_models(options: Options) -> None:
    """Raise CheckpointError, before anything is loaded, for a model that cannot exist."""
    for model in sorted(models_of(options)):
        check_model_name(model)


def _has_input(options: Options) -> bool:
    """Whether options ask for more than reports."""
    sources = (options.text_prompt, options.prompt_file, options.from_manifest, options.bark_speaker_as_the_prompt)
    others = (options.render_npz_samples, options.convert_model, options.voice_report)
    return any(source is not None for source in (*sources, *others))


# ---- clips from their tokens ----------------------------------------------------------------------------------------


def restitch(options: Options, source: ClipSource, console: Console) -> int:
    """--restitch: decode a clip's tokens again. Loads only the codec of the model. Returns the exit status."""
    import_torch()
    from ..checkpoints.loading import ModelChoice, load_codec
    from ..model.devices import use_physical_cores
    from ..output.clip_files import check_output_folder
    from ..output.restitching import restitch_clip

    use_physical_cores()
    folder = check_output_folder(options.output_dir)
    warn_of_delivery(options, console)
    assert options.from_manifest is not None and source.manifest is not None
    (plan,), _ = source.plan()
    takes = None
    if options.take is not None:
        takes = chosen_takes(options.take, len(plan.segments))
    with closing(ClipTokens(options.from_manifest, source.manifest, takes=takes)) as tokens:
        if takes is not None:
            say_chosen_takes(console, options, source, {k: k for k in range(len(plan.segments))})
        view.say_loading(console, f"{options.model}, its codec")
        codec = load_codec(ModelChoice.from_options(options))
        clip = restitch_clip(source.manifest, plan, tokens, codec.decode, folder, options)
    assert clip.path is not None  # it is written
    view.print_result(clip.path)
    segments = count(len(plan.segments), "segment")
    view.say(console, f"stitched again: {clip.seconds:.1f} s of sound from {segments}")
    if options.show_takes:
        show_takes(console, clip.path.name, [(segment.tries, segment.chosen) for segment in clip.segments])
    warn_of_sound(clip, options, console)
    report_late_cues(clip, console)
    return 0 if passes_delivery([clip.path], options, console) else EXIT_FAILED


# ---- voices to audio ------------------------------------------------------------------------------------------------


def render(folder: str, options: Options, console: Console) -> int:
    """--render_npz_samples: write every voice of a folder as an audio file beside it. Returns the exit status."""
    voices = voices_to_render(folder)
    if only_shows(options):
        for path in voices:
            view.say(console, f"{path} would become {path.with_suffix(f'.{options.output_format}')}")
        return 0
    import_torch()
    from ..checkpoints.loading import ModelChoice, load_codec
    from ..model.devices import use_physical_cores
    from ..output.clip_files import write_sound

    use_physical_cores()
    view.say_loading(console, f"{options.model}, its codec")
    codec = load_codec(ModelChoice.from_options(options))
    skipped, faults = 0, 0
    for result in render_voices(
        voices,
        options.audio_format,
        codec.decode,
        lambda path, samples, tags: write_sound(path, samples, tags, options),
    ):
        if isinstance(result, Skipped):
            skipped, faults = skipped + 1, faults + result.fault
            view.warn(console, f"skipped: {result.reason}")
        else:
            view.print_result(result.audio)
    view.say(console, f"{count(len(voices) - skipped, 'voice')} rendered, {skipped} skipped")
    return EXIT_FAILED if faults else 0


# ---- models to folders ----------------------------------------------------------------------------------------------


def convert(folder: Path, options: Options, console: Console) -> int:
    """--convert_model: save the chosen model in a new folder, in the layout of transformers. Returns the exit status."""
    dtype = "bfloat16" if options.dtype == "auto" else options.dtype
    if not _is_free(folder):
        raise UsageError(f"--convert_model {folder} is there already; give a folder that is new or empty")
    if only_shows(options):
        check_models(options)
        small = {"semantic": options.text_use_small, "coarse": options.coarse_use_small, "fine": options.fine_use_small}
        stages = ", ".join(f"{stage} stage from {'small' if use else options.model}" for stage, use in small.items())
        view.say(console, f"{folder} would become a model in {dtype}: {stages}")
        return 0
    import_torch()
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
    name = shlex.quote(
        os.path.join(os.curdir, folder)
    )  # with ./, so that a folder called large is not taken for the model large
    view.say(console, f"saved {size:,.0f} MB in {folder}; to speak with it: --model {name} --dtype {dtype}")
    return 0


def _is_free(folder: Path) -> bool:
    """Whether the path does not exist or is an empty folder."""
    try:
        return not os.listdir(folder)
    except OSError:
        return not os.path.lexists(folder)
