"""Serves: opens the ports, loads the model while the first requests are answered already, and closes everything in the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from rich.console import Console

from ..audio.formats import check_format
from ..checkpoints.places import DOWNLOAD_GB, check_model_name, needs_download
from ..cli import console as view
from ..cli.first_steps import models_of
from ..cli.voices import check_voices
from ..errors import UsageError
from ..options.table import Options
from ..run.random_voice import RANDOM
from .background import in_thread
from .gate import Gate
from .server_flags import ServerFlags

if TYPE_CHECKING:  # these import torch
    from .services import Services
    from .wyoming import WyomingServer

_GRACE_S = 2  # for answers that are being sent when the server is told to stop
_CLOSING_S = 5.0  # for the running step of the model, and for files
_BACKLOG = 2048  # connections that the system accepts before the program does
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Serving:
    """The server from its start to its end. `run` blocks until a signal comes.

    Raises UsageError, OutputError or VoiceError for what can be known before the model is loaded.
    """

    def __init__(self, flags: ServerFlags, defaults: Options, console: Console):
        self._flags, self._defaults, self._console = flags, defaults, console
        check_defaults(defaults, lambda sentence: view.say(console, sentence))
        self._socket = listen(flags.host, flags.port, "port")
        self._wyoming_socket = None
        if flags.wyoming_port is not None:
            self._wyoming_socket = listen(flags.host, flags.wyoming_port, "wyoming_port")
        self._gate = Gate()

    def run(self) -> None:
        """Load the model and serve until a signal comes. Raises BarkError if the model cannot be loaded."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = _Server(
            uvicorn.Config(
                self._gate,
                log_config=None,
                access_log=self._defaults.loglevel in ("DEBUG", "INFO"),
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        serving = asyncio.create_task(server.serve([self._socket]))
        loading = asyncio.create_task(in_thread(self._load))
        await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():  # it is told to stop while it loads
            return
        try:
            services = loading.result()
        except BaseException:
            server.should_exit = True
            await serving
            raise
        wyoming = await self._open(services)
        await asyncio.wait((serving, asyncio.create_task(server.stopping.wait())), return_when=asyncio.FIRST_COMPLETED)
        closing = asyncio.create_task(in_thread(services.store.close))
        if wyoming is not None:
            await wyoming.close()
        await serving
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(closing), _CLOSING_S)
            await asyncio.wait_for(in_thread(services.engine.close), _CLOSING_S)

    def _load(self) -> Services:
        """Everything that requests need, loaded. Runs in a thread beside the server."""
        services = load_services(self._flags, self._defaults, self._console)
        from .app import make_app

        self._gate.app = make_app(services)
        gc.freeze()  # what stays for as long as the server runs need not be looked through again and again
        gc.enable()
        return services

    async def _open(self, services: Services) -> WyomingServer | None:
        """Say where the server is, and open its second port and the browser if asked for."""
        flags, address = self._flags, url_of(self._flags.host, self._socket)
        with contextlib.suppress(OSError):  # of a closed stdout
            print(f"Bark Infinity: {address} (Ctrl-C ends it)", flush=True)
        wyoming = None
        if self._wyoming_socket is not None:
            from .wyoming import WyomingServer

            wyoming = WyomingServer(services)
            await wyoming.open(self._wyoming_socket)
            view.say(self._console, f"Wyoming: {url_of(flags.host, self._wyoming_socket, 'tcp')}")
        for sentence in warnings_of(flags):
            view.warn(self._console, sentence)
        if flags.open:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        return wyoming


class _Server(uvicorn.Server):
    """A server that ends in order after the first signal, and at once after the second."""

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.stopping = asyncio.Event()
        """Set when it has been told to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Listen to signals that the process was not started to ignore; unlike uvicorn's, nothing is raised afterwards."""
        loop = asyncio.get_running_loop()

        def stop(number: int, _: object) -> None:
            if self.should_exit:
                os._exit(128 + number)
            self.should_exit = True
            loop.call_soon_threadsafe(self.stopping.set)

        before = {number: signal.getsignal(number) for number in _SIGNALS}
        heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in heeded:
            signal.signal(number, stop)
        yield  # the process ends soon after: the handlers stay, so that a second signal still ends it at once


def load_services(flags: ServerFlags, defaults: Options, console: Console) -> Services:
    """Load the model, and open the jobs of the output folder. Raises BarkError."""
    from ..bark import Bark
    from ..checkpoints.loading import ModelChoice, load_models
    from ..files import make_folder
    from ..model.devices import use_physical_cores
    from ..voices.library import voice_folders
    from .jobs import JobStore
    from .services import ServerSettings, Services
    from .shared_engine import SharedEngine
    from .uploads import Uploads
    from .voice_shelf import VoiceShelf

    use_physical_cores()
    download = sum(
        DOWNLOAD_GB.get(model, 0.0) for model in models_of(defaults) if needs_download(model, defaults.model_dir)
    )
    if download:
        view.say(
            console, f"downloading the model {defaults.model}, {download:.1f} GB, once; --model demo needs no download"
        )
    else:
        view.say_loading(console, defaults.model)
    choice = ModelChoice.from_options(defaults)
    bark = Bark(load_models(choice), choice)
    if bark.advice is not None:
        view.say(console, bark.advice)
    voice_name = defaults.history_prompt
    if voice_name not in (None, RANDOM):
        bark.check_voice(
            bark.find_voice(voice_name, voice_folders(defaults.output_dir, defaults.voice_dir)),
            f"the voice {voice_name}",
        )
    settings = ServerSettings(
        host=flags.host, port=flags.port, api_key=flags.api_key, names=flags.names, most_waiting=flags.most_waiting
    )
    folder = Path(defaults.output_dir)
    make_folder(folder)
    uploads = Uploads(folder, settings.most_upload_bytes, settings.most_uploads_bytes)
    shelf = VoiceShelf(voice_folders(folder, defaults.voice_dir), Path(defaults.voice_dir), uploads)
    engine = SharedEngine(bark, defaults.batch_size)
    store = JobStore(folder, defaults, bark, engine, flags.most_waiting)
    return Services(store, engine, bark, defaults, shelf, uploads, settings)


def check_defaults(defaults: Options, tell: Callable[[str], object]) -> None:
    """Raise UsageError, CheckpointError, OutputError or VoiceError for defaults with which nothing could be spoken."""
    from ..output.clip_files import check_output_folder

    check_format(defaults.audio_format, defaults.output_format_ffmpeg_parameters or "")
    for model in models_of(defaults):
        check_model_name(model)
    check_output_folder(defaults.output_dir)
    check_voices(defaults, tell)


def listen(host: str, port: int, flag: str) -> socket.socket:
    """A socket that listens at an address of this machine. Raises UsageError that names the flag."""
    reason: object = "it has no address"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host} is no address of this machine ({error})") from None
    for family, kind, protocol, _, address in sorted(found, key=lambda line: line[0] != socket.AF_INET):
        opened = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # where it would let two programs share the port
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(_BACKLOG)
            return opened
        except OSError as error:
            opened.close()
            reason = error.strerror or error
    raise UsageError(f"port {port} of {host} cannot be opened ({reason}); choose another with --{flag}, or 0 for any")


def url_of(host: str, opened: socket.socket, scheme: str = "http") -> str:
    """The address of an open port, as another program is told it."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{named}:{opened.getsockname()[1]}"


def warnings_of(flags: ServerFlags) -> list[str]:
    """What a user should know who lets other machines reach the server."""
    if not flags.is_public:
        return []
    found = []
    if flags.api_key is None:
        found.append(
            f"EVERYBODY who reaches {flags.host} can use this server, hear and delete what it has made, and fill the disk: "
            "there is no --api_key"
        )
    if flags.wyoming_port is not None:
        found.append(
            "the Wyoming port has no key, as its protocol knows none: everybody who reaches it can have it speak"
        )
    return found
