"""Errors in a Python program's words."""

from __future__ import annotations

import pytest

from bark_infinity.errors import UsageError, VoiceError
from bark_infinity.options.python_words import in_python_words, python_words


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("--text_temp must be 0.0 or more, not -1.0", "text_temp must be 0.0 or more, not -1.0"),
        ("give --model a folder, or use --model demo", 'give model a folder, or use model="demo"'),
        ("--dtype int8 is for the CPU", 'dtype="int8" is for the CPU'),
        ("--seed and --single_starting_seed exclude each other", "seed and single_starting_seed exclude each other"),
        ("--list_speakers shows those there are", "bark-infinity --list_speakers shows those there are"),
        ("the text 'a --b --nothing_known' has nothing to say", "the text 'a --b --nothing_known' has nothing to say"),
    ],
)
def test_flags_become_arguments(message, shown):
    error = in_python_words(VoiceError(message))
    assert str(error) == shown and type(error) is VoiceError


def test_block_raises_the_error_with_its_cause():
    cause = ValueError("why")
    with (
        pytest.raises(UsageError, match="^x.wav is silent; give seed$") as raised,
        python_words({"--prompt_file ": ""}),
    ):
        raise UsageError("--prompt_file x.wav is silent; give --seed") from cause
    assert raised.value.__cause__ is cause
