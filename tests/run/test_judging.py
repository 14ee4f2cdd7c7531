"""What is known of a take: which language is listened for, and with which text it is compared."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import Hashing, Listening, plan, recipe_of

from bark_infinity.bark import Segment
from bark_infinity.run.judging import judge_take, language_to_hear
from bark_infinity.run.planning import SegmentPlan
from bark_infinity.run.recognition import Heard, HeardWord
from bark_infinity.seeds import Seeds

GERMAN = "Der Hund ist nicht hier, und ich habe ihn auch nicht gesehen."


@pytest.mark.parametrize(
    ("text", "clip", "voice", "language"),
    [
        ("The dog is not here.", GERMAN, "de", "en"),
        ("Hallo!", GERMAN, None, "de"),
        ("Hallo!", "Hallo!", "de", "de"),
        ("Hallo!", "Hallo!", None, "en"),
        ("", GERMAN, "de", None),  # no words
        ("Le chien n'est pas ici, et je ne l'ai pas vu.", GERMAN, None, None),  # not understood
    ],
)
def test_language_is_that_of_the_text_else_of_the_clip_else_of_the_voice(text, clip, voice, language):
    listener = Listening(lambda audio: "")
    listener.languages = frozenset({"de", "en"})
    recipe = dataclasses.replace(recipe_of(Hashing()), recognizer=listener, language=voice)
    of_clip = dataclasses.replace(plan(["x"]), text=clip)
    assert language_to_hear(of_clip, SegmentPlan(text, Seeds(1)), recipe) == language
    assert language_to_hear(of_clip, SegmentPlan(text, Seeds(1)), recipe_of(Hashing())) is None


def test_text_is_compared_as_it_is_spoken_or_as_it_is_written():
    """Whisper may write a name as it is usually written, however it is spelled for Bark."""
    spoken = SegmentPlan("Ask Win about it.", Seeds(1), written="Ask Nguyen about it.")
    for heard in ("ask win about it", "ask nguyen about it"):
        assert rate(spoken, heard) == 0
    assert rate(spoken, "ask gwen about it") == 0.25


def rate(segment: SegmentPlan, words: str) -> float:
    recipe = recipe_of(Hashing(), check_segments="off")
    made = Segment(segment.text, seeds=segment.seeds)
    heard = Heard(tuple(HeardWord(f" {word}", 0.0, 0.1) for word in words.split()), "fake", "en")
    _, known = judge_take(recipe, segment, made, Hashing()._speak(made, recipe.settings), heard)
    assert known.heard == words and known.faults is None and known.word_errors is not None
    return known.word_errors.rate
