"""The texts of a run: from the command line, a file or standard input, cut into prompts of one clip each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import TextError, UsageError
from ..options.table import Options
from ..readers.book import Book
from ..readers.plain import join_hyphens
from ..text.blocks import segments_of_spans, texts_of_spans
from ..text.breaks import TextSegment
from ..text.splitting import normalize_text
from ..text.units import PATTERN_UNITS, Span, split_spans

Notify = Callable[[str], None]

_MAX_DIGITS = 9  # of a group size
SAMPLE_PROMPTS = (
    "Hello, my name is Suno. And, uh — and I like pizza. [laughs] But I also have other interests such as playing tic tac toe.",
    "♪ The rain came down on the tin roof tonight, and it played us a song till the morning light ♪",
)


def read_source(options: Options, notify: Notify = lambda _: None) -> str | Book | None:
    """The whole text of --text_prompt or --prompt_file, or the book in that file; None if neither is given.

    `notify` is called with sentences for the user about how the file was read. Raises UsageError or TextError.
    """
    if options.bark_speaker_as_the_prompt is not None:
        return None
    if options.prompt_file is not None:
        from .prompt_file import read_prompt_file  # late: the readers of books are for those who have one

        where, text = f"--prompt_file {options.prompt_file}", read_prompt_file(options.prompt_file, options, notify)
        if isinstance(text, Book):
            return text
    elif options.text_prompt is not None:
        where, text = "--text_prompt", join_hyphens(normalize_text(options.text_prompt))
    else:
        return None
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise TextError(f"{where} is not UTF-8; set the terminal to UTF-8 or use a --prompt_file")
    if not text.strip():
        raise TextError(f"{where} has no text; give it words to speak")
    return text


def cut_source(text: str | None, options: Options, drawn_seed: int = 0) -> list[str]:
    """The prompts in a text from `read_source`. Without a text: a description of the voice to speak, or the sample prompts."""
    if options.bark_speaker_as_the_prompt is not None:
        return [tokens_of(options.bark_speaker_as_the_prompt)]
    if text is None:
        return list(SAMPLE_PROMPTS)
    if options.split_input_into_separate_prompts_by is None:
        return [text]
    given = (options.seed, options.single_starting_seed)
    prompts = cut_prompts(text, options, next((seed for seed in given if seed is not None), drawn_seed))
    if not prompts:
        where = "--text_prompt" if options.prompt_file is None else f"--prompt_file {options.prompt_file}"
        raise TextError(f"{where} has nothing left when it is cut; check --split_input_into_separate_prompts_by_value")
    return prompts


def tokens_of(voice: str) -> str:
    """The text shown for a clip that speaks the tokens of a voice."""
    return f"[tokens of {Path(voice).name.removesuffix('.npz')}]"


def cut_prompts(text: str, options: Options, seed: int) -> list[str]:
    """The prompts that --split_input_into_separate_prompts_by makes of a text. Raises UsageError."""
    to_segments = (
        options.split_each_text_prompt_by is not None
    )  # then split_type_string and group_text_by_counting apply to segments
    assert options.split_input_into_separate_prompts_by is not None
    text, spans = _cut(
        text,
        options.split_input_into_separate_prompts_by,
        options.split_input_into_separate_prompts_by_value,
        None if to_segments else options.split_type_string,
        None if to_segments else options.group_text_by_counting,
        "split_input_into_separate_prompts_by_value",
        seed,
        options.offline,
    )
    return texts_of_spans(text, spans)


def cut_segments(text: str, options: Options, seed: int) -> list[TextSegment]:
    """The segments that --split_each_text_prompt_by makes of a prompt. Raises UsageError."""
    assert options.split_each_text_prompt_by is not None
    text, spans = _cut(
        text,
        options.split_each_text_prompt_by,
        options.split_each_text_prompt_by_value,
        options.split_type_string,
        options.group_text_by_counting,
        "split_each_text_prompt_by_value",
        seed,
        options.offline,
    )
    return segments_of_spans(text, spans)


def _cut(
    text: str,
    unit: str,
    value: str | None,
    string: str | None,
    count_by: str | None,
    value_flag: str,
    seed: int,
    offline: bool,
) -> tuple[str, list[Span]]:
    """The text and the spans it is cut into.

    `value`: the group size; if the unit needs a pattern and `string` is None, the pattern.
    """
    if unit not in PATTERN_UNITS and string is not None:
        raise UsageError(f"--split_type_string does nothing when text is cut by {unit}; leave it out")
    if unit in PATTERN_UNITS and string is None:
        string, value = value, None
    size = value if value is not None else "1"
    if not (size.strip().isdecimal() and len(size.strip()) <= _MAX_DIGITS and int(size) > 0):
        shown = size if len(size) <= 40 else f"{size[:40]}..."
        raise UsageError(f"--{value_flag} takes a whole number from 1 to {10**_MAX_DIGITS - 1:,}, not {shown!r}")
    return split_spans(text, unit, int(size), pattern=string, count_by=count_by, seed=seed, offline=offline)
