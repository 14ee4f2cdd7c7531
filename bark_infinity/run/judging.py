"""Judges one take of a segment: cuts it if asked, checks it, and compares what was heard with its text."""

from __future__ import annotations

from ..bark import Generation, Segment
from ..text.languages import language_of
from ..text.word_errors import Comparison, compare_words
from .checks import pace_of
from .planning import ClipPlan, SegmentPlan
from .recipe import Recipe
from .recognition import Heard
from .takes import Try
from .trimming import find_trim, trimmed

_USUAL_LANGUAGE = "en"  # where nothing speaks for another
_TOLD_BY = 2_000  # characters of a clip's text that tell its language


def language_to_hear(clip: ClipPlan, plan: SegmentPlan, recipe: Recipe) -> str | None:
    """The language in which the run's recogniser listens to a segment; None if it does not.

    It is that of the segment's text, else that of the clip's, else that of the voice.
    """
    recognizer = recipe.recognizer
    if recognizer is None or not plan.text or recipe.spoken is not None:
        return None
    language = language_of(plan.text) or language_of(clip.text[:_TOLD_BY]) or recipe.language or _USUAL_LANGUAGE
    return language if language in recognizer.languages else None


def judge_take(
    recipe: Recipe, plan: SegmentPlan, segment: Segment, generation: Generation, heard: Heard | None
) -> tuple[Generation, Try]:
    """A take as it would be in the clip, and what is known of it.

    `segment`: what the engine was given. `heard`: what the recogniser heard in all of the generation; None if none listened.
    """
    comparison = None if heard is None or not plan.text else _compare(plan, heard)
    trim = plan.trim
    if trim is None and recipe.takes.trim_babble and heard is not None and comparison is not None:
        trim = find_trim(generation, heard, comparison) if _ends_with_a_word(plan.text) else None
    whole = generation
    if trim is not None:
        generation = trimmed(whole, trim, lambda codes: recipe.engine.decode([codes])[0])
    is_cut = generation is not whole
    seconds = generation.seconds
    return generation, Try(
        segment.seeds,
        _faults(recipe, segment, generation, ended=whole.ended or is_cut),
        seconds,
        pace_of(seconds, plan.text),
        None if heard is None else heard.text.strip(),
        None if comparison is None else comparison.errors,
        trim if is_cut else None,
        None if recipe.distances is None else recipe.distances.distance(segment.history, generation.audio),
    )


def _compare(plan: SegmentPlan, heard: Heard) -> Comparison:
    """The text as it is spoken or as it is written, whichever was rather heard."""
    texts = [plan.text] if plan.written is None else [plan.text, plan.written]
    comparisons = (compare_words(text, heard.text, heard.language) for text in texts)
    return min(comparisons, key=lambda comparison: comparison.errors.rate)


def _ends_with_a_word(text: str) -> bool:
    """Whether a text does not end with a cue such as [laughs] or ♪, which no recogniser hears."""
    return not text.rstrip().rstrip(".!?").rstrip().endswith(("]", "♪"))


def _faults(recipe: Recipe, segment: Segment, generation: Generation, ended: bool) -> dict[str, float] | None:
    checks, given = recipe.checks, segment.semantic is not None
    if checks is None:
        return None
    if segment.settings is not None:
        own = segment.settings.semantic
        checks = checks.with_settings(own.allow_early_stop, own.max_gen_duration_s)
    return checks.faults(generation.audio, generation.voice, segment.text, ended, given)
