"""Sentence boundaries over several hundred texts in all of Bark's languages; `sentence_cases.txt` says where they come from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bark_infinity.text.units import split_by

CASES = Path(__file__).with_name("sentence_cases.txt")
LANGUAGES = ["en", "de", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh"]
FEWEST = 20  # cases of each language
MOST_WRONG = 6  # cases that are known to be split otherwise than the file says; never more
LANGUAGE_SHARE = 0.85


def read_cases() -> list[tuple[str, str, list[str]]]:
    """Language, text, sentences with white space collapsed."""
    cases = []
    for line in CASES.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            language, marked = line.split(" ", 1)
            marked = marked.replace("\\n", "\n")
            sentences = [" ".join(part.split()) for part in marked.split("|")]
            cases.append((language, marked.replace(" | ", " ").replace("|", ""), sentences))
    return cases


def test_every_language_has_enough_cases() -> None:
    counts = Counter(language for language, _, _ in read_cases())
    assert sorted(counts) == sorted(LANGUAGES)
    assert min(counts.values()) >= FEWEST, counts


def test_texts_are_split_at_their_sentences() -> None:
    cases = read_cases()
    failing = []
    for language, text, sentences in cases:
        found = split_by(text, "sentence")
        if found != sentences:
            failing.append((language, f"{language} {' | '.join(found)}"))
    totals, wrong = Counter(case[0] for case in cases), Counter(language for language, _ in failing)
    report = "\n".join([f"{len(failing)} of {len(cases)} texts are cut otherwise:", *(line for _, line in failing)])
    assert len(failing) <= MOST_WRONG, report
    for language in LANGUAGES:
        assert wrong[language] <= (1 - LANGUAGE_SHARE) * totals[language], f"{language}: {report}"
