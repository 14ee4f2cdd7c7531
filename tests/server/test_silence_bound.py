"""How much silence a text from the network may ask for."""

from __future__ import annotations

import pytest

from bark_infinity.errors import TextError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.silence_bound import check_silence

LONG = "It was warm, and nobody asked him to move or to say where he came from. " * 5  # some 20 s of speech
CAST = "+++\n[cast]\nAnna = {}\n+++\n"


def check(text: str, **options) -> None:
    source = ClipSource(resolve(Options(text_prompt=text, **options)))
    check_silence(source.plan()[0], source.options)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("One is here. Two is here.", {}),
        ("One is here. [pause:3600s] Two is here.", {}),
        ("[pause:3000s] One is here. [pause:600s] Two is here.", {}),
        (f"{LONG}[pause:60s]" * 90, {}),  # more than an hour, and the speech is half an hour
        (f"{CAST}[at:00:00:30] One is here.\n[at:00:50:00] Two is here.", {}),
    ],
)
def test_usual_pauses_are_spoken(text, options):
    check(text, **options)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("One is here." + "[pause:3600s]" * 2 + "Two is here.", {}),
        ("[pause:3600s]" * 2 + "One is here.", {}),
        ("One is here." + "[pause:3600s]" * 2, {}),
        ("One is here. [pause:1900s] " * 2, {}),
        ("One is here. [pause:1900s] Two is here.", {"output_iterations": 2}),
        (f"{CAST}[at:00:50:00] One is here.\n[at:01:40:00] Two is here.", {}),
        ("One is here. " * 200, {"add_silence_between_segments": 60.0, "split_each_text_prompt_by": "sentence"}),
    ],
)
def test_silence_that_fills_the_disk_is_refused_in_a_sentence(text, options):
    if "split_each_text_prompt_by" in options:
        options = {**options, "split_each_text_prompt_by_value": "1"}
    with pytest.raises(TextError, match=r"the pauses and sounds .* last [\d,.]+ minutes.*shorten \[pause:"):
        check(text, **options)
