"""The command line of the server: flags of its own, and those of the table that are defaults of everything it speaks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..options.flag import SERVER, flag, flags_of
from ..options.layers import layered
from ..options.parser import parse_given, parser_of, settings_of_file
from ..options.resolve import REPORTS, resolve
from ..options.table import Options, flags

if TYPE_CHECKING:
    from .services import ServerSettings

PROGRAM = "bark-infinity-web"
_EPILOG = (
    "All other flags are defaults of what is spoken; a job or a request may ask\nfor others. "
    "Flags take _ or -, in either case.\nThe command line wins over a settings file (--config).\n"
)

_OF_A_JOB = "it belongs to one job, and is said on the page or in a request"
_OF_THE_COMMAND_LINE = "it is for the command line; run bark-infinity with it"
_ONE_PROCESS = "the server computes in its own process; run bark-infinity with it"
REFUSED: Mapping[str, str] = {  # flags of the table that are no defaults of a server, and why
    **dict.fromkeys(
        ("text_prompt", "prompt_file", "text_encoding", "from_manifest", "regenerate", "restitch", "take")
        + ("fit_subtitles", "chapters", "bark_speaker_as_the_prompt", "audio_file_as_history_prompt", "audition")
        + ("output_filename", "output_iterations", "split_input_into_separate_prompts_by", "cover")
        + ("split_input_into_separate_prompts_by_value", "book_title", "book_author", "cast", "resume"),
        _OF_A_JOB,
    ),
    **dict.fromkeys(
        ("show_takes", "list_chapters", "export_script", "list_speakers", "dry_run", "text_splits_only", "silent")
        + ("show_generation_times", "render_npz_samples", "check_delivery", "voice_report", "convert_model")
        + ("print_config", "print_completion", "show_all_reports", *REPORTS),
        _OF_THE_COMMAND_LINE,
    ),
    **dict.fromkeys(("cluster", "workers", "shard"), _ONE_PROCESS),
}


@dataclass(frozen=True)
class ServerFlags:
    """How the server is started, as its command line says."""

    host: str = flag("127.0.0.1", SERVER, "Address to listen on; 0.0.0.0: all of this machine.", metavar="ADDRESS")
    port: int = flag(7860, SERVER, "Port of page and API; 0: any that is free.", low=0, high=65_535, metavar="N")
    host_names: str | None = flag(
        None,
        SERVER,
        "Further names under which it is reached, through a proxy, say: bark.lan,speech.example.org.",
        metavar="NAMES",
    )
    api_key: str | None = flag(
        None,
        SERVER,
        "Key that every request must have; in the environment as BARK_API_KEY no other user of this machine sees it.",
        metavar="KEY",
        env="BARK_API_KEY",
    )
    wyoming_port: int | None = flag(
        None,
        SERVER,
        "Speak Wyoming, the protocol of Home Assistant, on this port too. It knows no key.",
        low=0,
        high=65_535,
        metavar="N",
    )
    most_waiting: int = flag(
        100,
        SERVER,
        "How many jobs and requests may wait; further ones are refused.",
        low=1,
        high=1_000_000,
        metavar="N",
    )
    open: bool = flag(False, SERVER, "Open the page in the browser.")

    def settings(self, port: int) -> ServerSettings:
        """What the application is told. `port`: the one that is open, also where --port is 0."""
        from .services import ServerSettings  # late: it imports NumPy, which --help does not need

        names = tuple(name.strip() for name in (self.host_names or "").split(",") if name.strip())
        return ServerSettings(self.host, port, self.api_key, names, self.most_waiting)


def read_command_line(arguments: Sequence[str], program: str = PROGRAM) -> tuple[ServerFlags, Options]:
    """The server's own flags, and the resolved defaults of what it speaks. Raises UsageError.

    `program`: how the process was started. --help and --version print and exit.
    """
    given = parse_given(make_parser(program), arguments)
    own = {line.name: given.pop(line.name) for line in flags_of(ServerFlags) if line.name in given}
    settings = layered(given, settings_of_file(given))
    for name in settings:
        if name in REFUSED:
            raise UsageError(f"--{name} is no default of a server: {REFUSED[name]}")
    return _checked(own), resolve(Options.from_settings(settings))


def make_parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """The parser: the server's own flags first; those of the table that are no defaults are known, but not shown."""
    return parser_of(
        (*flags_of(ServerFlags), *flags()),
        program,
        f"{program} [flags]",
        "A page and an API that speak with Suno's Bark.",
        _EPILOG,
        hidden=REFUSED.keys(),
    )


def _checked(own: Mapping[str, object]) -> ServerFlags:
    """The server's flags, with the environment below the command line. Raises UsageError."""
    from_environment = {
        line.name: text
        for line in flags_of(ServerFlags)
        if line.env is not None and line.name not in own and (text := os.environ.get(line.env))
    }
    given = ServerFlags(**{**from_environment, **own})  # type: ignore[arg-type]  # each value has its flag's type
    for line in flags_of(ServerFlags):
        line.check(getattr(given, line.name))
    if given.api_key is not None and not (given.api_key.isascii() and given.api_key.isprintable() and given.api_key):
        raise UsageError("--api_key must be of ASCII characters, without line breaks; programs send it in a header")
    return given
