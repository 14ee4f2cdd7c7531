"""Books as scripts: chapters that are skipped and chosen, titles said once, and text that is never markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from books import JPEG, PNG, Epub
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bark_infinity.cli.main import parse
from bark_infinity.errors import BarkError, TextError, UsageError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.output.script_file import export_script
from bark_infinity.readers.book import Block, Book, BookChapter
from bark_infinity.run.book_source import chapters_of_book, chosen_chapters, events_of
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.script_source import ScriptSource
from bark_infinity.text.events import Chapter, Speech

OPTIONS = resolve(parse(["--prompt_file", "book.epub", "--single_starting_seed", "1"]))
BREAK = Block("", "scene_break")


def chapter(title: str, *blocks: str | Block, role: str | None = None) -> BookChapter:
    """A chapter; a text that begins with # is a heading."""
    return BookChapter(title, tuple(_block(block) for block in blocks), role)


def _block(block: str | Block) -> Block:
    if isinstance(block, Block):
        return block
    return Block(block.removeprefix("#"), "heading" if block.startswith("#") else "paragraph")


def said(*chapters: BookChapter, titles: bool = True) -> list[str]:
    """The events of a book in short."""
    events = events_of(chapters_of_book(Book(chapters), titles))
    return [f"= {event.title}" if isinstance(event, Chapter) else event.text for event in events]


OTHER = chapter("Other", "Text.")


@pytest.mark.parametrize(
    ("one", "with_title", "without"),
    [
        (chapter("One", "Text."), "One\n\nText.", "Text."),
        (chapter("One", "#One", "Text."), "One\n\nText.", "Text."),
        (chapter("Chapter 1: The Sea", "#CHAPTER 1", "#The Sea", "Text."), "CHAPTER 1\n\nThe Sea\n\nText.", "Text."),
        (chapter("The Sea", "#Chapter 1. The Sea", "Text."), "Chapter 1. The Sea\n\nText.", "Text."),
        (chapter("Chapter 1: The Sea", "#The Sea", "Text."), "Chapter 1: The Sea\n\nText.", "Text."),
        (chapter("Chapter 1", "Chapter 1", "Text."), "Chapter 1\n\nText.", "Text."),
        (chapter("One", "One night it rained."), "One\n\nOne night it rained.", "One night it rained."),
        (chapter("One", "#Two", "Text."), "One\n\nTwo\n\nText.", "Two\n\nText."),
    ],
)
def test_titles_are_said_once_or_not_at_all(one, with_title, without):
    assert said(one, OTHER)[1] == with_title
    assert said(one, OTHER, titles=False)[1] == without


def test_chapters_without_a_title_have_numbers():
    assert said(chapter("", "A."), chapter("***", "B."), chapter("C", "D.")) == [
        "= 1",
        "A.",
        "= 2",
        "B.",
        "= C",
        "C\n\nD.",
    ]
    assert said(chapter("", "A.", "B.")) == ["A.\n\nB."]


def test_scene_breaks_stand_between_paragraphs():
    blocks = (BREAK, "A.", BREAK, BREAK, "…", "B.", "* * *", "C.", BREAK)
    assert said(chapter("", *blocks)) == ["A.\n\n***\n\nB.\n\n***\n\nC."]


def test_long_titles_are_shortened_where_they_are_shown():
    first, text = said(chapter("word " * 100, "A."), OTHER)[:2]
    assert len(first) < 210 and first.endswith("…") and text.startswith("word " * 99)


def skipped(*chapters: BookChapter) -> list[str | None]:
    return [each.skipped for each in chapters_of_book(Book(chapters), True)]


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("Contents", "contents"), ("INHALT", "contents"), ("Table des matières", "contents"), ("Оглавление", "contents"),
        ("Copyright", "copyright"), ("Impressum", "copyright"), ("版权页", "copyright"), ("Cover", "cover"), ("표지", "cover"),
        ("Title Page", "title page"), ("Index", "index"), ("Index.", "index"), ("Skorowidz", "index"), ("索引", "index"),
        ("Notes", "notes"), ("Anmerkungen", "notes"), ("Notlar", "notes"), ("Bibliografía", "bibliography"),
        ("Dedication", None), ("The Index of Sorrows", None), ("Cover me", None), ("Acknowledgements", None), ("Prologue", None),
    ],
)  # fmt: skip
def test_chapters_are_skipped_by_their_names(title, reason):
    assert skipped(chapter(title, "Text."), OTHER) == [reason, None]


def test_other_reasons_to_skip():
    assert skipped(chapter("A", "Text.", role="cover"), chapter("B"), chapter("C", BREAK, "…"), OTHER) == [
        "cover", "no text", "no text", None
    ]  # fmt: skip
    assert skipped(chapter("Notes", "A story called Notes.")) == [None]  # there is nothing else


def test_chosen_chapters():
    chapters = chapters_of_book(Book((chapter("Cover", "C"), *(chapter(str(k), "T") for k in range(2, 9)))), True)
    assert [each.title for each in chosen_chapters(chapters, None)] == list("2345678")
    assert [each.title for each in chosen_chapters(chapters, "4, 1,6-7")] == ["Cover", "4", "6", "7"]
    for wrong, message in (
        ("9", "--chapters 9: the book has the chapters 1 to 8, and not 9"),
        ("2,7-9", "the chapters 1 to 8, and not 7-9"),
        ("5-2", "not 5-2"),
        ("0", "not 0"),
        ("one", "--chapters takes numbers of chapters as in 3,7-9, not 'one'"),
        ("1,", "takes numbers of chapters"),
    ):
        with pytest.raises(UsageError) as error:
            chosen_chapters(chapters, wrong)
        assert message in str(error.value)
    with pytest.raises(TextError, match=r"no chapter that is spoken unasked \(cover\); see --list_chapters"):
        chosen_chapters(chapters[:1], None)


def test_words_are_counted_in_any_script():
    assert [c.n_words for c in chapters_of_book(Book((chapter("", "It's the well-known 3rd one."),)), True)] == [5]
    assert [c.n_words for c in chapters_of_book(Book((chapter("", "我爱你。Hi!"),)), True)] == [4]


# ---- reading an exported script back --------------------------------------------------------------------------------

MARKUP = (
    "[sound: x.wav]", "[pause:3s]", "[pauze]", "[voice:Ann] hi [/voice]", "[Ann|seed:4] hi", "# One", "\\# One", "\\[pause]",
    "+++", "[cast]", "Ann: hi", "<speak>", "***", "[laughs]", "well-", "known", "1. One", "-->", "WEBVTT", "soft\u00adly", "♪ la ♪",
    "…", "a\u2028b", "e\u0301", "Chapter 1", "  spaces  ", "\\", "a\x1cb", "[sound: y.wav", "x]",
)  # fmt: skip
LINES = st.one_of(
    st.sampled_from(MARKUP), st.text(max_size=30), st.lists(st.sampled_from(MARKUP), max_size=4).map(" ".join)
)
BLOCKS = st.one_of(st.builds(Block, LINES, st.sampled_from(("paragraph", "heading"))), st.just(BREAK))
CHAPTERS = st.builds(BookChapter, LINES, st.lists(BLOCKS, max_size=5).map(tuple))
TAGS = st.one_of(st.none(), st.text(st.characters(blacklist_categories=("Cs",)), max_size=20))
BOOKS = st.builds(
    Book, st.lists(CHAPTERS, min_size=1, max_size=4).map(tuple), TAGS, TAGS, TAGS, st.one_of(st.none(), st.just(PNG))
)


def plan_of(book: Book):
    source = ScriptSource.read(book, OPTIONS)
    assert source.script is not None
    return source, plan_clips([source.script], OPTIONS, 0)[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(BOOKS, st.integers())
def test_an_exported_script_gives_the_same_plan(book, number):
    try:
        source, plans = plan_of(book)
    except TextError:
        return  # nothing is said in it
    Path("script.txt").unlink(missing_ok=True)
    export_script(Path("script.txt"), source.script, source.cover)
    options = resolve(parse(["--prompt_file", "script.txt", "--single_starting_seed", "1"]))
    again = ClipSource(options)
    (plan,), failed = again.plan()
    assert not failed and (again.book.cover and again.book.cover.image) == book.cover
    assert [(s.text, s.pause, s.chapter, s.seeds) for s in plan.segments] == [
        (s.text, s.pause, s.chapter, s.seeds) for s in plans[0].segments
    ]
    events = source.script.events
    assert again.script is not None and again.script.events == events
    assert all(isinstance(event, Chapter | Speech) for event in events)


def test_nothing_in_a_book_is_markup():
    book = Book((chapter("", "[sound: x.wav] and [pause:3s] and [voice:x] here."),))
    _, (plan,) = plan_of(book)
    assert [segment.text for segment in plan.segments] == ["[sound: x.wav] and [pause:3s] and [voice:x] here."]
    assert not plan.segments[0].pause.sounds and plan.lead.total_seconds == 0


# ---- as a source of clips -------------------------------------------------------------------------------------------


@pytest.fixture
def epub() -> Path:
    cover = "<item id='i' href='i.png' media-type='image/png' properties='cover-image'/>"
    documents = {"c.xhtml": "<h1>Contents</h1>", "a.xhtml": "<p>One.</p>", "b.xhtml": "<p>Two.<sup>1</sup></p>"}
    toc = [("Contents", "c.xhtml"), ("Ay", "a.xhtml"), ("Bee", "b.xhtml")]
    book = Epub(
        documents, toc, title="The Book", head="<dc:creator>Ann</dc:creator>", items=cover, files={"OEBPS/i.png": PNG}
    )
    Path("book.epub").write_bytes(book.write())
    return Path("book.epub")


def source(*arguments: str) -> ClipSource:
    return ClipSource(resolve(parse(arguments)))


def test_a_book_is_one_clip_with_its_chapters_and_cover(epub):
    (plan,), _ = source("--prompt_file", "book.epub").plan()
    assert [(s.chapter, s.text) for s in plan.segments] == [
        ("Ay", "Ay"),
        ("Ay", "One."),
        ("Bee", "Bee"),
        ("Bee", "Two."),
    ]
    assert plan.segments[1].pause.kind == "chapter" and plan.cover.image == PNG and plan.stem.startswith("The_Book-SPK")
    assert plan.script is not None and (plan.script.book.title, plan.script.book.author) == ("The Book", "Ann")
    chapters = source("--prompt_file", "book.epub").chapters()
    assert [(chapter.title, chapter.skipped) for chapter, _ in chapters] == [
        ("Contents", "contents"),
        ("Ay", None),
        ("Bee", None),
    ]
    assert all(seconds > 0 for _, seconds in chapters)
    Path("another.jpg").write_bytes(JPEG)
    assert source("--prompt_file", "book.epub", "--cover", "another.jpg").plan()[0][0].cover.image == JPEG


def test_a_book_is_known_by_its_content(epub, monkeypatch):
    notes: list[str] = []
    epub.rename("book.bin")
    assert ClipSource(resolve(parse(["--prompt_file", "book.bin"])), notes.append).plan()[0][0].cover.image == PNG
    assert notes == ["--prompt_file book.bin is read as a book (epub)"]
    Path("page").write_text("<!-- x -->\n<!DOCTYPE html><p>Hello there, you.</p>")
    assert source("--prompt_file", "page").plan()[0][0].text == "Hello there, you."
    Path("page.txt").write_text("<html> is a tag.")
    assert source("--prompt_file", "page.txt").plan()[0][0].text == "<html> is a tag."
    with open("book.bin", "rb") as file:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": file}))
        assert source("--prompt_file", "-").plan()[0][0].cover.image == PNG


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt_file", "book.epub", "--chapters", "4"], "the book has the chapters 1 to 3, and not 4"),
        (["--prompt_file", "book.epub", "--cast", "A=b"], "--cast does nothing for a book"),
        (["--prompt_file", "book.epub", "--fit_subtitles"], "book.epub: this is no subtitle file"),
        (["--prompt_file", "book.epub", "--split_input_into_separate_prompts_by", "line"], "does nothing for a book"),
        (["--prompt_file", "book.epub", "--script", "ssml"], "--script ssml does nothing for a book"),
        (["--prompt_file", "book.epub", "--text_encoding", "cp1252"], "--text_encoding does nothing for epub"),
        (["--text_prompt", "Hi.", "--chapters", "2"], "the book has the chapters 1 to 1, and not 2"),
        (["--prompt_file", "hi.txt", "--footnotes", "inline"], "--footnotes does nothing for a text that is no book"),
        (
            ["--prompt_file", "hi.txt", "--speak_titles", "false"],
            "--speak_titles does nothing for a text that is no book",
        ),
        (["--text_prompt", "Hi.", "--footnotes", "inline"], "--footnotes does nothing without --prompt_file"),
        (["--prompt_file", "bad.epub"], "--prompt_file bad.epub: it is no EPUB"),
        (["--prompt_file", "none.html"], "--prompt_file none.html: it has no chapter that is spoken unasked"),
    ],
)
def test_flags_that_do_not_fit(epub, arguments, message):
    Path("hi.txt").write_text("Hi.")
    Path("bad.epub").write_text("Hi.")
    Path("none.html").write_text("<p></p>")
    with pytest.raises(BarkError) as error:
        source(*arguments)
    assert message in str(error.value)


def test_chapters_of_a_script_can_be_chosen():
    Path("play.txt").write_text("+++\n[cast]\nAnn = 'x'\n+++\nBefore.\n# One\nAnn: Hi.\n# Two\nBye.\n")
    chosen = source("--prompt_file", "play.txt", "--chapters", "1,3")
    assert [segment.text for segment in chosen.plan()[0][0].segments] == ["Before.", "Bye."]
    assert [chapter.title for chapter, _ in chosen.chapters()] == ["", "One", "Two"]


def test_a_text_with_lines_that_begin_chapters_is_a_book():
    text = "Foreword here.\n\nChapter 1\n\nIt rained. [pause:2s] Then\nit stopped.\n\n* * *\n\nNight.\n\nChapter 2\n\nThe end.\n"
    Path("novel.txt").write_text(text)
    (plan,), _ = source("--prompt_file", "novel.txt").plan()
    assert [(s.chapter, s.text, s.pause.kind) for s in plan.segments][1:] == [
        ("Chapter 1", "Chapter 1", "paragraph"),
        ("Chapter 1", "It rained.", "asked"),
        ("Chapter 1", "Then it stopped.", "scene"),
        ("Chapter 1", "Night.", "chapter"),
        ("Chapter 2", "Chapter 2", "paragraph"),
        ("Chapter 2", "The end.", "paragraph"),
    ]
    (one,), _ = source("--prompt_file", "novel.txt", "--chapters", "3", "--speak_titles", "false").plan()
    assert [segment.text for segment in one.segments] == ["The end."]
    for arguments in (["--prompt_file", "novel.txt", "--script", "plain"], ["--text_prompt", text]):
        assert source(*arguments).plan()[0][0].segments[1].chapter is None
    by_line = ["--split_input_into_separate_prompts_by", "line"]
    assert len(source("--prompt_file", "novel.txt", *by_line).plan()[0]) > 4


@pytest.mark.parametrize("name", ["book.md", "book.markdown"])
def test_markdown_is_a_book(name):
    pytest.importorskip("markdown_it", reason="needs markdown-it-py (the books extra)")
    Path(name).write_text("# One\n\nIt *rained*, and [pause:2s] is text.\n\n# Two\n\nThe end.\n")
    (plan,), _ = source("--prompt_file", name).plan()
    assert [segment.text for segment in plan.segments] == [
        "One",
        "It rained, and [pause:2s] is text.",
        "Two",
        "The end.",
    ]
