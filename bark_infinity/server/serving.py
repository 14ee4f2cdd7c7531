"""Serves: opens the ports, loads the model while the first requests are answered already, and closes everything in the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Generator
from typing import TYPE_CHECKING

import uvicorn
from rich.console import Console
from rich.text import Text

from ..cli import console as view
from ..errors import UsageError
from ..options.table import Options
from .background import in_thread
from .gate import Gate
from .loading import check_defaults, load_services
from .security import is_loopback, warning_without_key
from .server_flags import ServerFlags

if TYPE_CHECKING:  # these import torch
    from .services import Services
    from .wyoming import WyomingServer

_GRACE_S = 2.0  # for answers that are being sent when the server is told to stop
_CANCEL_S = 3  # after which answers that never end, such as events, are cut
_LONGEST_END_S = 8.0  # after which the process ends as it is: nothing is lost then, as nothing is when it is killed
_BACKLOG = 2048  # connections that the system accepts before the program does
_WYOMING_IS_OPEN = "Wyoming knows no key: everybody who reaches its port can have this server speak"
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
                timeout_graceful_shutdown=_CANCEL_S,
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
        await close(services, wyoming, serving)

    def _load(self) -> Services:
        """Everything that requests need, loaded. Runs in a thread beside the server."""
        port = self._socket.getsockname()[1]
        services = load_services(self._flags.settings(port), self._defaults, self._console)
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
            if not is_loopback(flags.host):
                view.warn(self._console, _WYOMING_IS_OPEN)
        if (sentence := warning_without_key(services.settings)) is not None:
            view.print_text(self._console, Text(sentence, style="bold red"))
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
            end_after(_LONGEST_END_S)
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it reports every answer that is cut
            loop.call_soon_threadsafe(self.stopping.set)

        before = {number: signal.getsignal(number) for number in _SIGNALS}
        heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in heeded:
            signal.signal(number, stop)
        yield  # the process ends soon after: the handlers stay, so that a second signal still ends it at once


async def close(services: Services, wyoming: WyomingServer | None, serving: asyncio.Task[None]) -> None:
    """Close everything, once `serving` takes no further connections: jobs at once, so that they leave the model to the answers
    that are being sent, and those after a while.
    """
    jobs = asyncio.create_task(in_thread(services.store.close))
    await asyncio.wait((serving,), timeout=_GRACE_S)
    if wyoming is not None:
        await wyoming.close()
    await asyncio.gather(jobs, in_thread(services.engine.close), serving)


def end_after(seconds: float) -> None:
    """End the process in so many seconds, if it has not ended by then."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


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
