"""--list_chapters and --export_script on the command line, and a book that is spoken, interrupted and made again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from books import PNG, Epub

from bark_infinity import Bark, Options, narrate
from bark_infinity.cli.main import main
from bark_infinity.output.manifest import read_manifest

BRIEF = ["--model", "demo", "--device", "cpu", "--fine_temp", "0", "--semantic_max_gen_duration_s", "0.3", "--single_starting_seed", "1"]  # fmt: skip


@pytest.fixture(autouse=True)
def book() -> None:
    documents = {
        "t.xhtml": "<p>© 2020 Ann</p>",
        "a.xhtml": "<p>One dog ran, it did.</p>",
        "b.xhtml": "<p>Two [sound: x.wav] cats.</p>",
    }
    toc = [("Ay", "a.xhtml"), ("Bee", "b.xhtml")]
    cover = "<item id='i' href='i.png' media-type='image/png' properties='cover-image'/>"
    data = Epub(documents, toc, head="<dc:creator>Ann</dc:creator>", items=cover, files={"OEBPS/i.png": PNG}).write()
    Path("book.epub").write_bytes(data)


def test_list_of_chapters(capfd):
    assert main(["--prompt_file", "book.epub", "--list_chapters"]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines() == ["1\t\tskipped: copyright", "2\tAy\tkept", "3\tBee\tkept"]
    assert "A Book by Ann" in error and "2 chapters of 3 kept, 12 words, about 0:0" in error and "(no title)" in error
    assert main(["--prompt_file", "book.epub", "--list_chapters", "--chapters", "1,3"]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines() == ["1\t\tkept", "2\tAy\tnot chosen", "3\tBee\tkept"]


def test_a_book_with_nothing_to_speak_is_still_listed(capfd):
    Path("one.epub").write_bytes(Epub({"cover.xhtml": "<p>x</p>", "toc.xhtml": "<p>y</p>"}, None).write())
    assert main(["--prompt_file", "one.epub", "--list_chapters"]) == 0
    assert capfd.readouterr().out == "1\t\tskipped: cover\n2\t\tskipped: contents\n"
    assert main(["--prompt_file", "one.epub", "--dry_run"]) == 2
    error = " ".join(capfd.readouterr().err.split())
    assert (
        "--prompt_file one.epub: it has no chapter that is spoken unasked (cover, contents); see --list_chapters"
        in error
    )


def test_listing_and_exporting_import_no_torch():
    for flag in (["--list_chapters"], ["--dry_run"], ["--export_script", "s.txt"]):
        code = (
            f"import sys; from bark_infinity.cli.main import main; main({['--prompt_file', 'book.epub', *flag]!r}); "
            "sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_book_is_spoken_as_its_script_is(capfd):
    assert main([*BRIEF, "--prompt_file", "book.epub"]) == 0
    clip = Path(capfd.readouterr().out.strip())
    manifest = json.loads(clip.with_suffix(".json").read_text())
    assert [segment["chapter"] for segment in manifest["segments"]] == ["Ay", "Ay", "Bee", "Bee"]
    script = read_manifest(str(clip.with_suffix(".json"))).script
    assert script is not None and (script.book.title, script.book.author, script.book.cover) == ("A Book", "Ann", None)
    assert main(["--prompt_file", "book.epub", "--export_script", "s.txt"]) == 0
    assert main([*BRIEF, "--prompt_file", "s.txt", "--output_dir", "again"]) == 0
    again = Path(capfd.readouterr().out.splitlines()[-1])
    assert again.read_bytes()[-1000:] == clip.read_bytes()[-1000:] and again.name == clip.name
    assert (
        main([*BRIEF, "--from_manifest", str(clip.with_suffix(".json")), "--prompt_file", "book.epub", "--dry_run"])
        == 0
    )
    assert "0 new or changed, 4 kept" in " ".join(capfd.readouterr().err.split())


def test_a_program_speaks_a_book(demo: Bark):
    options = Options(chapters="2", footnotes="inline")
    narration = narrate(demo, Path("book.epub"), options=options)
    assert [segment.chapter for segment in narration.plan.segments] == [
        "Ay",
        "Ay",
    ] and narration.plan.cover.image == PNG
