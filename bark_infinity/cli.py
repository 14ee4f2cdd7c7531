"""The command line: parser from the table of options, and what becomes of errors. Imports torch only to make sound."""

from __future__ import annotations

import argparse
import difflib
import io
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from . import __version__
from . import console as view
from .errors import BarkError, OutputError, UsageError
from .options import Flag, Options, flags
from .planning import plan_clips, read_prompts
from .seeds import draw_seed
from .voice import find_voice, list_voices, voice_folders

if TYPE_CHECKING:  # these import torch
    from .bark import Bark, Generation
    from .long_form import Clip, FailedClip

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
_EPILOG = "Flags take _ or -, in either case.\nA flag that is true or false takes nothing (true) or the word."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; the exit status."""
    console = view.make_console()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # paths in any script, whatever the locale
    try:
        options = parse(sys.argv[1:] if argv is None else argv).resolved()
        view.start_logging(console, options.loglevel)
        return run(options, console)
    except BarkError as error:
        logging.getLogger(__package__).debug("", exc_info=error)  # the traceback, for --loglevel DEBUG
        view.report_error(console, str(error))
        return EXIT_USAGE
    except BrokenPipeError:  # whoever read our results has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        view.report_error(console, "interrupted; finished clips are kept")
        return EXIT_INTERRUPTED


# ---- parsing --------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        if message.endswith("expected one argument"):
            name = re.search(r"--\w+", message)[0]
            raise UsageError(f"{name} needs a value; one that begins with - is written {name}=-value")
        raise UsageError(f"{message}; --help lists what there is")


def parse(arguments: Sequence[str]) -> Options:
    """Options from a command line. Raises UsageError; --help and --version print and exit."""
    given, unknown = make_parser().parse_known_args([_normalize(a) for a in arguments])
    if unknown:
        raise UsageError(_explain_unknown(unknown[0]))
    return Options(**vars(given))


def make_parser() -> argparse.ArgumentParser:
    """The parser of all flags, in their groups."""
    parser = _Parser(
        prog="bark_perform.py",
        usage="python bark_perform.py --text_prompt TEXT [flags]",
        description="Text of any length to speech, music and sound with Suno's Bark.",
        epilog=_EPILOG,
        formatter_class=_formatter(),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(line.group for line in flags())}
    for line in flags():
        _add_flag(groups[line.group], line)
    more = groups[flags()[-1].group]
    more.add_argument("--version", action="version", version=f"Bark Infinity {__version__}", help="Show the version.")
    more.add_argument("-h", "--help", action="help", help="Show this and stop.")
    return parser


def _add_flag(group: argparse._ArgumentGroup, line: Flag) -> None:
    names = [f"--{name}" for name in (line.name, *line.aliases)]
    text = line.help.replace("%", "%%")
    if line.kind is bool:
        words = "true|false|auto" if line.default is None else "true|false"
        group.add_argument(
            *names, nargs="?", const=True, type=line.parse, metavar=words, help=_with_default(text, line)
        )
    else:
        metavar = line.metavar or ("|".join(line.choices) if line.choices else line.kind.__name__.upper())
        group.add_argument(*names, type=line.parse, metavar=metavar, help=_with_default(text, line))


def _with_default(text: str, line: Flag) -> str:
    if line.default is None or line.default is False:
        return text
    return f"{text} \\[{str(line.default).lower() if line.default is True else line.default}]"


def _formatter():
    from rich_argparse import RawDescriptionRichHelpFormatter

    class Formatter(RawDescriptionRichHelpFormatter):
        group_name_formatter = str  # as declared, not in title case

    return lambda prog: Formatter(prog, max_help_position=30)


def _normalize(argument: str) -> str:
    """`--Text-Prompt=x` -> `--text_prompt=x`; whatever is no flag stays as it is."""
    match = re.match(r"--[A-Za-z][\w-]*(?==|$)", argument)
    return match[0][:2] + match[0][2:].replace("-", "_").lower() + argument[match.end() :] if match else argument


def _explain_unknown(argument: str) -> str:
    if not argument.startswith("--"):
        return f'{argument!r} belongs to no flag; put a text with spaces in quotes, as in --text_prompt "Hello there."'
    name = argument[2:].split("=")[0]
    known = [n for line in flags() for n in (line.name, *line.aliases)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"there is no flag --{name}; {f'did you mean --{near[0]}?' if near else '--help lists what there is'}"


# ---- running --------------------------------------------------------------------------------------------------------


def run(options: Options, console: Console) -> int:
    """Do what resolved options ask for; the exit status. Raises BarkError for what makes the whole run impossible."""
    folders = voice_folders(options.output_dir)
    if options.list_speakers:
        voices = list_voices(folders)
        view.show_voices(console, voices)
        view.print_for_pipes(voice.name for voice in voices)
        return 0
    drawn_seed = draw_seed()
    prompts = read_prompts(options)
    plans, failed = plan_clips(prompts, options, drawn_seed)
    if options.history_prompt is not None:
        find_voice(options.history_prompt, folders)  # an unknown one is told before anything is loaded
    if not options.text_splits_only and not options.dry_run:
        return perform(options, prompts, drawn_seed, console)
    for prompt in failed:
        view.warn(console, f"{prompt.error}; this prompt is left out")
    if options.text_splits_only:
        view.show_splits(console, plans)
        view.print_for_pipes(segment.text for plan in plans for segment in plan.segments)
    else:
        view.show_plan(console, plans, options)
    return 0


def perform(options: Options, prompts: Sequence[str], drawn_seed: int, console: Console) -> int:
    """Make the sound. Whatever of a user's mistakes can be known is raised before the first second of it."""
    from .bark import Bark, load_voice
    from .checkpoints import Hub
    from .loading import ModelChoice, load_models
    from .long_form import LongForm
    from .results import check_output_folder

    folder = check_output_folder(options.output_dir)
    view.say_loading(console, options.model)
    hub = Hub(options.model_dir, options.offline)
    voice = load_voice(options.history_prompt, hub, voice_folders(options.output_dir))
    bark = Bark(load_models(ModelChoice.from_options(options)))
    plans, failed = plan_clips(prompts, options, drawn_seed, count_ids=lambda text: len(bark.tokenizer.encode(text)))
    if options.model == "demo":
        view.warn(console, "the demo model has random weights for now: it babbles instead of speaking")
    with view.RunDisplay(console, sum(len(plan.segments) for plan in plans)) as display:
        run = LongForm.from_options(options, bark, voice)
        run.progress = display.update
        failures = [(prompt.text, prompt.error) for prompt in failed]
        failures += save_all(run.clips(plans), options, bark, folder, console)
    for text, error in failures:
        view.report_error(console, f"not made: {' '.join(text.split())[:40]!r}: {error}")
    return EXIT_FAILED if failures else 0


def save_all(
    clips: Iterator[Clip | FailedClip], options: Options, bark: Bark, folder: Path, console: Console
) -> list[tuple[str, BarkError]]:
    """Write every clip as it comes and print its path; the texts of those that failed, and why."""
    from .long_form import FailedClip
    from .results import save_clip

    failures = []
    for clip in clips:
        if isinstance(clip, FailedClip):
            failures.append((clip.plan.text, clip.error))
            continue
        for number, made in enumerate(clip.generations, 1):
            _warn_of(made, f"{clip.plan.stem}, segment {number}", console)
        try:
            path = save_clip(clip, folder, options, bark)
        except OutputError as error:
            failures.append((clip.plan.text, error))
            continue
        view.print_result(path)
        view.show_made(console, path, clip.seconds, clip.seconds_taken, clip.plan.seed)
    return failures


def _warn_of(made: Generation, where: str, console: Console) -> None:
    if made.cut_ids:
        view.warn(
            console, f"{where}: {made.cut_ids} of the text's tokens are beyond the 256 the model reads and stay unsaid"
        )
    if made.silent:
        view.warn(console, f"{where}: the model ended the speech at once; another --seed may say it")
