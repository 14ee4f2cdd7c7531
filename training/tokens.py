"""Ids of the demo model: characters of text, and semantic tokens made of a phone, its beginning and a place in the text.

A semantic token is `(phone * 2 + begins) * N_PLACES + place`: the phone that sounds in this 20 ms, whether it begins
here, and where the character being read stands, in pairs of characters and modulo `N_PLACES`. The place makes reading on an
easy thing to learn: only every 32 characters look alike, 2.2 s of speech, and the time tells these apart.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from bark_infinity.constants import SEMANTIC_RATE_HZ

from .pronunciation import PAUSES, PHONES, SILENCE, Phone

_PHONE_IDS = {phone: i for i, phone in enumerate(PHONES)}
N_PLACES = 16
CHARACTERS_PER_PLACE = 2
N_SEMANTIC = len(PHONES) * 2 * N_PLACES
SEMANTIC_PAD = N_SEMANTIC  # its logit is the end of speech

_ACCENTED = dict(zip("àáâãäåçèéêëìíîïñòóôõöùúûüýÿ", "aaaaaaceeeeiiiinooooouuuuyy", strict=True))
_LETTERS = string.ascii_letters + string.digits
_ALL_LETTERS = _LETTERS + "".join(_ACCENTED) + "".join(_ACCENTED).upper().replace("Ÿ", "")
VOCABULARY = ("[UNK]", *string.punctuation, *_ALL_LETTERS, *(f"##{letter}" for letter in _ALL_LETTERS))
_CHARACTER_IDS = {character: i for i, character in enumerate(VOCABULARY)}
TEXT_OFFSET = N_SEMANTIC + 1
TEXT_PAD = TEXT_OFFSET + len(VOCABULARY)
INFER = TEXT_PAD + 1
INFER_BRISK = TEXT_PAD + 2  # asks for one token a phone, whatever its duration; known to the training alone
N_INPUTS = TEXT_PAD + 3
MAX_TEXT = 256

COARSE_PAD = N_SEMANTIC + 2 * 1024
COARSE_INFER = COARSE_PAD + 1
N_COARSE = COARSE_PAD + 2


def plain_letter(entry: str) -> str:
    """The small letter without accent that a vocabulary entry stands for; other entries as they are."""
    letter = entry.removeprefix("##").lower()
    return _ACCENTED.get(letter, letter)


def characters(word: str) -> list[int]:
    """Ids of one word between white space, as the WordPiece tokenizer gives them where it knows all its characters."""
    ids, inside = [], False
    for character in word:
        known = character.isalnum()
        ids.append(_CHARACTER_IDS.get(f"##{character}" if known and inside else character, 0))
        inside = known
    return ids


def places(words: Sequence[Sequence[int]], tokens: np.ndarray) -> np.ndarray:
    """The index of the character that is read in each phone.

    words: character ids of each word; tokens [n]: for each phone, the index of its word, -1 in a pause. A word's phones
    are spread over it evenly; a pause stands at the last character before the next word.
    """
    starts = np.cumsum([0, *map(len, words)])
    counts = np.bincount(tokens[tokens >= 0], minlength=len(words))
    place, last, seen = [], -1, np.zeros(len(words), int)
    for token in tokens:
        if token >= 0:
            readable = max(1, sum(1 for i in words[token] if VOCABULARY[i][-1].isalnum()))
            place.append(starts[token] + int((seen[token] + 0.5) * readable / counts[token]))
            seen[token], last = seen[token] + 1, token
        else:
            place.append(max(0, starts[min(last + 1, len(words))] - 1))
    return np.array(place)


def phone_ids(phones: Sequence[Phone]) -> np.ndarray:
    return np.array([_PHONE_IDS[phone.name] for phone in phones], np.uint8)


def tokens_of_durations(phones: np.ndarray, place: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Semantic tokens of phones with these `durations` in tokens [n], all at least 1."""
    begins = np.zeros(durations.sum(), int)
    begins[np.cumsum(durations) - durations] = 1
    return _tokens(np.repeat(phones, durations), begins, np.repeat(place, durations))


def tokens_at_times(phones: np.ndarray, place: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Semantic tokens of phones that end at `ends`, in seconds. Phones shorter than a token may be lost."""
    at = np.searchsorted(ends, (np.arange(int(ends[-1] * SEMANTIC_RATE_HZ)) + 0.5) / SEMANTIC_RATE_HZ)
    at = np.minimum(at, len(ends) - 1)
    return _tokens(phones[at], np.diff(at, prepend=-1) != 0, place[at])


def _tokens(phones: np.ndarray, begins: np.ndarray, characters: np.ndarray) -> np.ndarray:
    """Semantic tokens [n]; characters [n]: the index of the one being read."""
    return (phones.astype(int) * 2 + begins) * N_PLACES + characters // CHARACTERS_PER_PLACE % N_PLACES


def phones_of(tokens: Sequence[int]) -> list[str]:
    """The phones of semantic tokens, without pauses."""
    names = (PHONES[t // N_PLACES // 2] for t in tokens if t < N_SEMANTIC and t // N_PLACES % 2)
    return [name for name in names if name not in (SILENCE, *PAUSES)]
