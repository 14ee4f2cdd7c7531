"""From a request for a job to the options of its run, and to the command line that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from ..bark import Bark
from ..errors import UsageError
from ..options.flag import Shapes
from ..options.layers import layered
from ..options.resolve import REPORTS, resolve
from ..options.table import Options, flags
from ..run.program_options import AS_LOADED, as_loaded

MOST_TEXT = 200
"""Characters of a job's text that are shown."""
TEXT_FILE = "text.txt"
"""The name of the file that holds a job's text."""
_PROGRAM = "bark-infinity"
_REFUSED = (  # what a job cannot do: other commands, other machines, and what jobs do by themselves
    "text_prompt", "prompt_file", "from_manifest", "regenerate", "restitch", "take", "output_dir", "list_chapters",
    "export_script", "list_speakers", "dry_run", "text_splits_only", "render_npz_samples", "check_delivery",
    "voice_report", "convert_model", "force_reload", "config", "print_config", "print_completion", "show_all_reports",
    "cluster", "workers", "shard", "resume", *REPORTS,
)  # fmt: skip
_ALWAYS: Mapping[str, object] = {"keep_takes": True}  # unless asked otherwise: so that a take can be chosen later


def read_asked(options: Mapping[str, object], bark: Bark) -> dict[str, object]:
    """The values of the flags that a request names, each of its type. Raises UsageError for what no job can be asked."""
    table = {line.name: line for line in flags()}
    asked: dict[str, object] = {}
    for name, value in options.items():
        if name not in table:
            raise UsageError(f"there is no flag {name[:100]}; docs/flags.md lists what there is")
        if name in _REFUSED:
            raise UsageError(f"--{name} is not for jobs; leave it out")
        line = table[name]
        asked[name] = None if value is None and line.default is None else line.read(value)
        line.check(asked[name])
        is_meant = name == "model" or asked[name] != line.default
        if name in AS_LOADED and is_meant and not AS_LOADED[name](bark, asked[name]):
            raise UsageError(f"--{name} {asked[name]} is not how the server's model is loaded; leave it out")
    return asked


def options_of_job(
    asked: Mapping[str, object], defaults: Options, bark: Bark, folder: Path, source: Mapping[str, object]
) -> Options:
    """Resolved options of a job. `source`: the flag that says what is spoken. Raises UsageError."""
    server = {name: value for name, value in defaults.changed().items() if name not in _REFUSED}
    settings = {**layered(asked, {**_ALWAYS, **server}), **source, "output_dir": str(folder)}
    options = resolve(as_loaded(Options.from_settings(settings), bark))
    if Path(options.output_dir) != folder:
        raise UsageError(
            f"--output_filename {asked.get('output_filename')} has a folder; a job's clips lie in the output folder"
        )
    return options


def file_settings(recorded: Mapping[str, object]) -> dict[str, object]:
    """Those of a manifest's settings that say which files a clip has, such as subtitles, so that a changed one has them too."""
    table = {line.name: line for line in flags() if line.shapes is Shapes.FILES and not line.path}
    found = {name: table[name].read(value) for name, value in recorded.items() if name in table}
    for name, value in found.items():
        table[name].check(value)
    return found


def command_of(asked: Mapping[str, object], text: str | None, file: str) -> str:
    """The command line that speaks a text, which is in it if it is short, or a file, under the name that its user knows.

    `asked`: other flags. `text`: None, or at least its first MOST_TEXT characters.
    """
    is_short = text is not None and len(text) < MOST_TEXT
    return command_line({**({"text_prompt": text} if is_short else {"prompt_file": file}), **asked})


def command_line(settings: Mapping[str, object]) -> str:
    """The command line with these flags, for a shell."""
    words = [_PROGRAM]
    for name, value in settings.items():
        shown = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        words += [f"--{name}={shown}"] if shown.startswith("-") else [f"--{name}", shown]
    return shlex.join(words)
