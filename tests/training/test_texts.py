"""Sentences for training: which of them are kept, which are held out, and what they are made of."""

from __future__ import annotations

import zlib

import pytest

from training import texts


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("a small  well-known dog; it barks", "A small well-known dog; it barks."),
        ('"No, thank _you_!"', "No, thank you!"),
        ("He stopped--he knew Mr. Elton -- and left.", "He stopped, he knew Mr. Elton, and left."),
        ("And you are, Miss--?", None),
        ("two words", None),
        ("it costs $5 now", None),
        ("the NATO summit ended", None),
        ("e.g. this one here", None),
        ("What is it? said she.", None),
        ("a" * 90 + " b c", None),
        ("so " * 40, None),
    ],
)
def test_only_plain_sentences_are_kept(raw, kept):
    assert texts.tidy(raw) == kept


def rdb(*strings: str) -> bytes:
    """A file as R writes it, with one vector of strings."""
    body = b"X\n\0\0\0\x10" + b"".join(
        b"\0\x04\0\x09" + len(one).to_bytes(4, "big") + one.encode("latin-1") for one in strings
    )
    return len(body).to_bytes(4, "big") + zlib.compress(body)


def test_strings_are_read_from_files_of_r():
    assert list(texts._lines_of_rdb(rdb("CHAPTER I", "", "Emma") + rdb("né"))) == ["CHAPTER I", "", "Emma", "né"]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A novel, a dialogue, a fortune and a line of WordNet in the places of the real ones."""
    novel = tmp_path / "Rdata.rdb"
    lines = (
        '"I am Mr. Elton," said he.',
        "It was late. Where",
        "were you?",
        "",
        "The dog slept under the",
        "table",
        "all afternoon.",
        "",
    )
    novel.write_bytes(rdb(*lines))
    (tmp_path / "wordnet").mkdir()
    (tmp_path / "wordnet" / "data.noun").write_text(
        "  1 a licence\n"
        '1 18 n 02 Kitchener 0 general 0 000 | a big grey animal (from Africa); "the animal ate the leaves"\n'
        "2 15 n 01 Galway 0 000 | a port in the west\n"
    )
    (tmp_path / "fortunes").mkdir()
    (tmp_path / "fortunes" / "wise").write_text("Look before you leap. Then leap again!\n\t\t-- Anon\n%\n")
    monkeypatch.setattr(texts, "_NOVELS", novel)
    monkeypatch.setattr(texts, "_WORDNET", tmp_path / "wordnet")
    monkeypatch.setattr(texts, "_FORTUNES", tmp_path / "fortunes")
    monkeypatch.setattr(texts, "_dialogues", lambda: iter([["How are you?", "I am well today.", "42"]]))
    for cached in (texts.sentences, texts._lemmas):
        cached.cache_clear()
    yield
    for cached in (texts.sentences, texts._lemmas):
        cached.cache_clear()


def test_sentences_come_from_all_sources_but_not_from_the_benchmarks(library):
    assert set(texts.sentences()) == {
        "I am Mr. Elton, said he.", "It was late.", "Where were you?", "How are you?", "I am well today.",
        "A big grey animal.", "The animal ate the leaves.", "A port in the west.", "Look before you leap.",
        "Then leap again!",
    }  # fmt: skip


def test_passages_follow_each_other_and_leave_out_what_is_held_out(library):
    every = {"I am Mr. Elton, said he. It was late.", "It was late. Where were you?", "How are you? I am well today."}
    every.add("I am Mr. Elton, said he. It was late. Where were you?")
    found = texts.passages(texts.sentences())
    assert found and every.issuperset(found)
    assert set(texts.passages(s for s in texts.sentences() if s[0] == "I")) <= {"I am Mr. Elton, said he. It was late."}


def test_rare_words_and_names_are_wordnets(library):
    assert texts._lemmas() == {"words": ["general"], "people": ["Kitchener"], "places": ["Galway"]}
    assert "general" in " ".join(texts.salads(texts.sentences(), 50)).lower()
    assert any("Kitchener" in one or "Galway" in one for one in texts.said(60))


def test_generated_sentences_are_the_same_again(library):
    assert texts.numbered(200) == texts.numbered(200)
    assert sum(any(c.isdigit() for c in text) for text in texts.numbered(200)) > 190
    said = texts.said(300)
    assert said == texts.said(300) and 100 < sum("?" in text for text in said) < 220
    short = texts.short(["A cat sat on it.", "It is a good day to go home and rest."], 300)
    assert all(len(text.split()) <= 8 and text[-1] in ".!?" for text in short) and "Hello" in " ".join(short)
