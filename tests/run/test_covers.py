"""The cover that a script names: an image beside it, for a script that is the user's own file."""

from __future__ import annotations

from pathlib import Path

import pytest
from books import PNG

from bark_infinity.cli.main import parse
from bark_infinity.errors import TextError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve


def source(*arguments: str) -> ClipSource:
    return ClipSource(resolve(parse(arguments)))


def test_the_cover_of_a_script_lies_beside_it():
    Path("books").mkdir()
    Path("books/play.txt").write_text("+++\n[book]\ntitle = 'T'\ncover = 'c.png'\n+++\nHi there.")
    with pytest.raises(TextError, match=r"--prompt_file books/play.txt: the cover c.png in \[book\] cannot be read"):
        source("--prompt_file", "books/play.txt")
    Path("books/c.png").write_text("no image")
    with pytest.raises(TextError, match="neither a JPEG nor a PNG; convert it, or leave it out"):
        source("--prompt_file", "books/play.txt")
    Path("books/c.png").write_bytes(PNG)
    (plan,), _ = source("--prompt_file", "books/play.txt").plan()
    assert plan.cover == PNG and plan.script is not None and plan.script.book.cover == "c.png"
    Path("c.png").write_bytes(PNG)
    assert (
        source("--text_prompt", Path("books/play.txt").read_text()).plan()[0][0].cover is None
    )  # of a stranger, maybe
