"""Loads what the server speaks with, and opens the jobs of its output folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..audio.formats import check_format
from ..checkpoints.places import DOWNLOAD_GB, check_model_name, needs_download
from ..cli import console as view
from ..cli.first_steps import models_of
from ..cli.voices import check_voices
from ..options.table import Options
from ..run.random_voice import RANDOM
from ..voices.library import voice_folders

if TYPE_CHECKING:  # these import torch
    from ..bark import Bark
    from .services import ServerSettings, Services


def check_defaults(defaults: Options, tell: Callable[[str], object]) -> None:
    """Raise UsageError, CheckpointError or VoiceError for defaults with which nothing could be spoken. Imports no torch.

    `tell` is called with sentences about voices.
    """
    check_format(defaults.audio_format, defaults.output_format_ffmpeg_parameters or "")
    for model in models_of(defaults):
        check_model_name(model)
    check_voices(defaults, tell)


def load_services(settings: ServerSettings, defaults: Options, console: Console) -> Services:
    """Load the model, and open the jobs of the output folder. Raises BarkError."""
    from ..files import make_folder
    from ..output.clip_files import check_output_folder
    from .jobs import JobStore
    from .network_names import NetworkNames
    from .services import Services
    from .shared_engine import SharedEngine
    from .uploads import Uploads
    from .voice_shelf import VoiceShelf

    folder = check_output_folder(defaults.output_dir)
    make_folder(folder)
    bark = load_bark(defaults, console)
    uploads = Uploads(folder, settings.most_upload_bytes, settings.most_uploads_bytes)
    shelf = VoiceShelf(
        voice_folders(folder, defaults.voice_dir), Path(defaults.voice_dir), uploads, bark.spec.semantic_vocab_size
    )
    engine = SharedEngine(bark, defaults.batch_size)
    names = NetworkNames(shelf, uploads)
    store = JobStore(folder, defaults, bark, engine, names, settings.most_waiting, uploads)
    return Services(store, engine, bark, defaults, shelf, uploads, settings)


def load_bark(defaults: Options, console: Console) -> Bark:
    """Load the model, and try the voice of the defaults with it. Raises BarkError."""
    from ..bark import Bark
    from ..checkpoints.loading import ModelChoice, load_models
    from ..model.devices import use_physical_cores

    use_physical_cores()
    absent = [model for model in models_of(defaults) if needs_download(model, defaults.model_dir)]
    if absent and not defaults.offline:
        size = sum(DOWNLOAD_GB.get(model, 0.0) for model in absent)
        of_size = f" of {size:.1f} GB" if size else ""
        view.say(console, f"the model {defaults.model} is downloaded once{of_size}; --model demo needs no download")
    else:
        view.say_loading(console, defaults.model)
    choice = ModelChoice.from_options(defaults)
    bark = Bark(load_models(choice), choice)
    if bark.advice is not None:
        view.say(console, bark.advice)
    name = defaults.history_prompt
    if name not in (None, RANDOM):
        voice = bark.find_voice(name, voice_folders(defaults.output_dir, defaults.voice_dir))
        bark.check_voice(voice, f"the voice {name}")
    return bark
