"""--export_script: a script with the cover of its book beside it; tests/run/test_book_source.py reads what it writes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from books import PNG

from bark_infinity.errors import BarkError
from bark_infinity.output.script_file import export_script
from bark_infinity.text.events import BookTags, Chapter, Place, Script, Speech


def test_an_export_overwrites_nothing():
    script = Script((Chapter("A", Place(1, 1)), Speech("Hi.", Place(1, 1))), book=BookTags("T"))
    Path("s.png").write_bytes(b"another")
    export_script(Path("s.txt"), script, PNG)
    assert Path("s_1.png").read_bytes() == PNG and 'cover = "s_1.png"' in Path("s.txt").read_text()
    with pytest.raises(BarkError, match="--export_script s.txt is there already"):
        export_script(Path("s.txt"), script, PNG)
    Path("s.txt").unlink()
    export_script(Path("s.txt"), script, PNG)  # the same image is not written again
    assert not Path("s_2.png").exists()
