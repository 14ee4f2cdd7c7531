"""Tags and cover of a book: from flags, from the script and from a manifest; kept by restitching, mending and regenerating."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import soundfile
from audio_files import chapters, cover, jpeg, png, tags
from fakes import VOICE, Counting, Hashing

from bark_infinity.cli.main import parse
from bark_infinity.errors import UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.book import RunBook
from bark_infinity.output.clip_tokens import ClipTokens
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.restitching import restitch_clip
from bark_infinity.run.clips import Clip
from bark_infinity.run.engine import Engine
from bark_infinity.run.recipe import Recipe
from bark_infinity.text.events import BookTags

TEXT = "# One\nThis is the first line.\n\n# Two\nThis is another line.\n"
SCRIPT = ("--script", "dialogue")
BOOK = ("--book_title", "Tales", "--book_author", "Ann", "--book_narrator", "Bob")


def source(*arguments: str, notes: list[str] | None = None) -> ClipSource:
    return ClipSource(resolve(parse(arguments)), (notes if notes is not None else []).append)


def made(*arguments: str, engine: Engine | None = None) -> Path:
    """The audio file, or playlist, of a clip."""
    asked = source(*arguments)
    job = Job(asked.options, asked, Recipe.from_options(asked.options, engine or Hashing(), VOICE))
    *_, clip = job.run()
    assert isinstance(clip, Clip) and clip.path is not None
    return clip.path


def restitched(manifest: Path, *arguments: str) -> Path:
    asked = source("--from_manifest", str(manifest), "--restitch", *arguments)
    (plan,), _ = asked.plan()
    tokens = ClipTokens(str(manifest), asked.manifest)
    try:
        clip = restitch_clip(
            asked.manifest,
            plan,
            tokens,
            lambda codes: Hashing().decode([codes])[0],
            Path(asked.options.output_dir),
            asked.options,
        )
    finally:
        tokens.close()
    return clip.path


@pytest.fixture
def clip() -> Path:
    """An audiobook with a cover whose file is gone afterwards."""
    Path("story.txt").write_text(TEXT)
    Path("cover.png").write_bytes(png())
    path = made("--prompt_file", "story.txt", *SCRIPT, "--cover", "cover.png", *BOOK, "--output_filename", "book.m4b")
    Path("cover.png").unlink()
    return path


def check(path: Path, titles: list[str]) -> None:
    """The whole book is in the file and in the manifest."""
    content = json.loads(path.with_suffix(".json").read_text())
    assert content["book"] == {
        "title": "Tales", "author": "Ann", "narrator": "Bob", "cover_sha256": hashlib.sha256(png()).hexdigest(),
    }  # fmt: skip
    recorded = [(one["title"], round(1000 * one["start"]), round(1000 * one["end"])) for one in content["chapters"]]
    assert chapters(path) == recorded and [title for title, *_ in recorded] == titles
    first = {segment["chapter"]: segment["start"] for segment in reversed(content["segments"])}
    assert [one["start"] for one in content["chapters"]] == list(reversed(first.values()))
    found = tags(path)
    assert (found["title"], found["artist"], found["composer"], found["album"]) == ("Tales", "Ann", "Bob", "Tales")
    assert found["genre"] == "Audiobook" and "cover.png" not in found["comment"]
    assert cover(path) == png() == path.with_suffix(".cover.png").read_bytes()


def test_audiobook_has_chapters_cover_and_tags(clip):
    check(clip, ["One", "Two"])
    assert "cover" not in json.loads(clip.with_suffix(".json").read_text())["settings"]


@pytest.mark.parametrize("format", ["m4b", "mp3", "mp4"])
def test_restitched_clip_is_still_the_book(clip, format):
    again = restitched(clip.with_suffix(".json"), "--output_filename", f"again.{format}", "--gain_db", "-3")
    check(again, ["One", "Two"])
    check(restitched(again.with_suffix(".json"), "--output_filename", f"twice.{format}"), ["One", "Two"])


def test_mended_clip_is_still_the_book(clip):
    Path("new.txt").write_text(TEXT + "\n# Three\nThe end of it.\n")
    new = made("--from_manifest", str(clip.with_suffix(".json")), "--prompt_file", "new.txt", *SCRIPT)
    assert new.name == "book_1.m4b"
    check(new, ["One", "Two", "Three"])


def test_regenerated_clip_is_still_the_book(clip):
    check(made("--from_manifest", str(clip.with_suffix(".json")), "--regenerate", "1"), ["One", "Two"])


def test_flags_win_over_what_is_recorded(clip):
    Path("other.jpg").write_bytes(jpeg())
    again = restitched(clip.with_suffix(".json"), "--cover", "other.jpg", "--book_title", "Others")
    assert cover(again) == jpeg() == again.with_suffix(".cover.jpg").read_bytes()
    assert (tags(again)["title"], tags(again)["artist"]) == ("Others", "Ann")


def test_lost_cover_is_told_and_the_rest_stays(clip):
    clip.with_suffix(".cover.png").write_bytes(png(7, 7))  # not the recorded one
    notes: list[str] = []
    asked = source("--from_manifest", str(clip.with_suffix(".json")), "--restitch", notes=notes)
    (plan,), _ = asked.plan()
    assert plan.cover is None and plan.book.author == "Ann"
    assert notes == ["the cover of bark_samples/book.json is not beside it any more; give it as --cover to have one"]


def test_chapter_files_are_the_book_too_and_stay_so_when_the_clip_is_made_again(clip):
    again = restitched(clip.with_suffix(".json"), "--output_filename", "again.mp3", "--chapter_files")
    assert again.name == "again.m3u8"
    files = sorted(again.with_suffix(".chapters").iterdir())
    assert [path.name for path in files] == ["01 One.mp3", "02 Two.mp3"]
    assert all(cover(path) == png() and tags(path)["album"] == "Tales" for path in files)
    third = restitched(again.with_suffix(".json"))
    assert third.name == "again_1.m3u8"
    listed = [line for line in third.read_text().splitlines() if not line.startswith("#")]
    assert listed == ["again_1.chapters/01 One.mp3", "again_1.chapters/02 Two.mp3"]
    assert all((third.parent / line).is_file() for line in listed)
    assert restitched(again.with_suffix(".json"), "--chapter_files", "false").name == "again_2.mp3"


def test_chapter_files_of_an_interrupted_run_are_whole_in_the_end():
    """The second run makes only the rest, and nothing of the first one's files is left over."""

    class Interrupted(Counting):
        def stream(self, *arguments):
            for finished in super().stream(*arguments):
                yield finished
                if self.n_spoken == 3:
                    raise KeyboardInterrupt

    lines = [f"# Part {k}\nThis is line {k} of the book.\n" for k in range(6)]
    Path("story.txt").write_text("\n".join(lines))
    asked = ("--prompt_file", "story.txt", *SCRIPT, "--chapter_files", "--batch_size", "1", "--output_filename", "a")
    asked += ("--single_starting_seed", "5")
    with pytest.raises(KeyboardInterrupt):
        made(*asked, engine=Interrupted(Hashing()))
    again = Counting(Hashing())
    path = made(*asked, engine=again)
    assert again.n_spoken == 3
    whole = made(*asked, "--output_dir", "whole")
    files = [sorted(one.with_suffix(".chapters").iterdir()) for one in (path, whole)]
    assert [[one.name for one in found] for found in files] == [[f"{k + 1:02} Part {k}.wav" for k in range(6)]] * 2
    sounds = [[soundfile.read(one)[0].tolist() for one in found] for found in files]
    assert sounds[0] == sounds[1] and path.read_text() == whole.read_text()
    assert not list(Path("bark_samples").glob("*.partial"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "--cover art.png cannot be read (No such file or directory); give a JPEG or a PNG"),
        (b"GIF89a", "--cover art.png is neither a JPEG nor a PNG; convert it"),
        (png()[:18], "--cover art.png is damaged"),
        (png(20_000, 2), "--cover art.png has 20000 x 2 pixels"),
    ],
)
def test_unusable_cover_is_refused_while_planning(content, words):
    if content is not None:
        Path("art.png").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        source("--text_prompt", "Hello there.", "--cover", "art.png")
    assert words in str(refused.value)


def test_each_tag_comes_from_the_nearest_place(clip):
    manifest = dataclasses.replace(read_manifest(str(clip.with_suffix(".json"))), cover_sha256=None)
    options = resolve(Options(book_title="Flag"))
    script = BookTags("Script", "Script", language="de")
    found = RunBook.find(options, script, manifest, print)
    assert found.tags == BookTags("Flag", "Script", "Bob", "de")


def test_cover_of_a_script_lies_beside_it():
    script = "+++\n[book]\ntitle = 'T'\ncover = 'art.png'\n+++\nHi there."
    Path("folder").mkdir()
    Path("folder/story.txt").write_text(script)
    asked = ("--prompt_file", "folder/story.txt")
    with pytest.raises(UsageError, match="--prompt_file folder/story.txt: the cover folder/art.png cannot be read"):
        source(*asked)
    Path("folder/art.png").write_text("no image")
    with pytest.raises(UsageError, match="art.png is neither a JPEG nor a PNG"):
        source(*asked)
    Path("folder/art.png").write_bytes(png())
    (plan,), _ = source(*asked).plan()
    assert plan.cover.image == png() and plan.book.title == "T"
    Path("art.png").write_bytes(png())
    assert source("--text_prompt", script).book.cover is None  # of a stranger, maybe


def test_cover_of_a_script_that_is_mended_is_the_recorded_one():
    Path("art.png").write_bytes(png())
    Path("play.txt").write_text("+++\n[cast]\nAnn = 'v2/en_speaker_1'\n[book]\ncover = 'art.png'\n+++\nAnn: Hi there.")
    manifest = made("--prompt_file", "play.txt").with_suffix(".json")
    Path("art.png").unlink()
    assert source("--from_manifest", str(manifest), "--cast", "Ann=v2/en_speaker_2").book.cover.image == png()


def test_cover_in_a_book_gives_way_to_the_chosen_one():
    notes: list[str] = []

    def cover_of(inside: bytes, **options: str) -> bytes | None:
        asked = resolve(Options(prompt_file="book.epub", **options))
        cover = RunBook.find(asked, BookTags(), None, notes.append, inside).cover
        return None if cover is None else cover.image

    Path("other.jpg").write_bytes(jpeg())
    assert cover_of(png()) == png() and cover_of(png(), cover="other.jpg") == jpeg() and not notes
    assert cover_of(png(20_000, 2)) is None
    assert cover_of(b"GIF89a") is None
    assert [note.partition(" has 20000 x 2 pixels")[0] for note in notes] == [
        "the cover in book.epub",
        "the cover in book.epub is neither a JPEG nor a PNG; convert it, or give another one as --cover; it is left out",
    ]


@pytest.mark.parametrize("book", ["x", {"title": 3}, {"cover_sha256": []}, {"author": "\udc80"}])
def test_damaged_book_in_a_manifest_is_refused(clip, book):
    path = clip.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"book": book}))
    with pytest.raises(UsageError, match="is not the manifest of a clip"):
        read_manifest(str(path))
