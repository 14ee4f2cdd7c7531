"""Decodes text files, and guesses the encoding if it is not given."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import TextError, UsageError

SAMPLE_BYTES = 20_000  # of lines with characters beyond ASCII, from which the encoding is guessed
_BYTE_ORDER_MARKS = (  # UTF-32 before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAX_DAMAGE = 0.05  # share of the characters beyond ASCII that may be invalid in a text that still counts as UTF-8


class DecodedText(NamedTuple):
    """A text and its encoding. `damaged`: the number of byte sequences that were invalid and left out."""

    text: str
    encoding: str
    damaged: int = 0


def check_encoding(name: str) -> None:
    """Raise UsageError if `name` is neither "auto" nor a text encoding that Python has."""
    try:
        if name != "auto":
            "a".encode(name)
    except (LookupError, ValueError):
        raise UsageError(
            f"--text_encoding {name} is no encoding of text; there are auto, utf-8, utf-16, cp1252, cp1251, shift_jis, "
            "gb18030, big5, euc-kr and all others that Python knows"
        ) from None


def decode_text(data: bytes, encoding: str = "auto") -> DecodedText:
    """The text of a file, without a byte order mark. With "auto" the encoding is detected or guessed.

    Raises TextError if the data is not text in that encoding, or not text at all.
    """
    if encoding != "auto":
        return DecodedText(_decoded(data, encoding), encoding)
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return DecodedText(_decoded(data, name), name.removesuffix("-sig"))
    if b"\0" in data:
        return _decode_wide(data)
    try:
        text = data.decode("utf-8")
        if not _JIS_ESCAPE.search(data):
            return DecodedText(text, "utf-8")
    except UnicodeDecodeError:
        pass
    if (damaged := _damaged_utf8(data)) is not None:
        return DecodedText(data.decode("utf-8", "ignore"), "utf-8", damaged)
    return _guessed(data)


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise TextError(f"it is no {encoding} (byte {error.start}); give its encoding with --text_encoding") from None


_NO_TEXT = "it is no text file; save it as text, or give its encoding with --text_encoding"


def _decode_wide(data: bytes) -> DecodedText:
    """The text of UTF-32 or UTF-16 without a byte order mark, or of UTF-8 with NUL characters."""
    wide = ("utf-8", "utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    return _likeliest(data, data[:SAMPLE_BYTES], wide, _wide_plausibility)


def _likeliest(
    data: bytes, sample: bytes, encodings: Iterable[str], plausibility: Callable[[str], float]
) -> DecodedText:
    """The text in the encoding that makes the sample most plausible. Raises TextError if none does."""
    best, best_score = None, _MIN_SCORE
    for name in encodings:
        try:
            score = plausibility(
                codecs.getincrementaldecoder(name)().decode(sample)
            )  # the sample may end inside a character
            text = data.decode(name) if score > best_score else None
        except UnicodeDecodeError:
            continue
        if text is not None:
            best, best_score = DecodedText(text, name), score
    if best is None:
        raise TextError(_NO_TEXT)
    return best


def _wide_plausibility(text: str) -> float:
    """As `_plausibility`, for UTF-16 and UTF-32: a wrong decoding has NULs or unassigned characters."""
    total, text = 0.0, text.rstrip("\0")  # a file may be padded with NULs
    for match in re.finditer(r"(?s).", text):
        character = match.group()
        if character < "\x80":
            total += 1.0 if character.isprintable() else 0.0 if character in "\t\r\n\f" else -1.0
        elif unicodedata.category(character) in _NOT_IN_TEXTS:
            total -= 1.0
        else:
            total += _score(match) + 0.5 * (character.isalpha() and character < "\u0370")
    return total / max(1, len(text))


_NOT_IN_TEXTS = ("Cc", "Cn", "Co", "Cs")


def _damaged_utf8(data: bytes) -> int | None:
    """The number of invalid sequences in a text that is mostly UTF-8; None if it is not mostly UTF-8."""
    damaged = data.decode("utf-8", "replace").count("\ufffd")
    whole = sum(character > "\x7f" for character in data.decode("utf-8", "ignore"))
    return damaged if 0 < damaged <= max(_MAX_DAMAGE * whole, whole > 2) else None


# ---- guessing --------------------------------------------------------------------------------------------------------
#
# The text in each encoding gets a score from its characters beyond ASCII: letters that a language uses often raise it,
# combinations that no language has lower it.

_ENCODINGS = (  # if two give the same text, the first is chosen
    *("cp1252", "cp1250", "cp1251", "cp1254", "iso-8859-2", "iso-8859-15", "koi8-r", "cp866", "mac_roman", "cp850", "cp852"),
    *("cp1253", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949", "gb18030", "big5", "cp950"),
)  # fmt: skip
_JIS_ESCAPE = re.compile(rb"\x1b\$[@B]")
_MIN_SCORE = 0.0
_LETTERS = (  # letters beyond ASCII of languages in Latin script: common ones, rare ones
    ("äöüß", "é"),  # German
    ("áéíóúñ", "ü"),  # Spanish
    ("éèàêçùôîûâœ", "ëïæüÿ"),  # French
    ("àèéìòù", "îó"),  # Italian
    ("ãáçéêõóíâúà", "ôü"),  # Portuguese
    ("ąęćłńóśżź", "é"),  # Polish
    ("ığşçöüi̇", "âîû"),  # Turkish
    # languages that Bark does not speak
    ("", "åäöæøéðþáíóúýü"),  # Nordic ones
    ("", "éëïèóüöçêñ"),  # Dutch
    ("", "áéíýčěřšžůúóťďňľĺŕôä"),  # Czech and Slovak
    ("", "áéíóöőúüű"),  # Hungarian
    ("", "čćžšđ"),  # Croatian
    ("", "ăâîșțşţ"),  # Romanian
)
_WORDS_OF_ONE_LETTER = "àèéêóòáâôæåöøı"
_RUSSIAN_WORDS_OF_ONE_LETTER = "аявскиуоэ"
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"  # from the most frequent on
_GREEK = "αοιετσνηυρπκμλςγδβχθωάέήίόύώφζξψ"
_HAN = set(
    "的一是不了在人有我他这這个個们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于着著下自之年过過发發后後作里裡用道行所"
    "然家种種事成方多经經么麼去法学學如都同现現当當没沒动動面起看定天分还還进進好小部其些主样樣理心她本前开開但因只从從想实實日军軍者意无無力它与與"
    "长長把机機十民第公此已工使情明性知全三又关關点點正业業外将將两兩高间間由问問很最重并並物手应應战戰向头頭文体體政美相见見被利什二等气氣吗嗎吧啊"
    "呢今早晚晨跟给給让讓叫吃喝走笑话話门門老女男孩水火山月风風雨花鸟鳥爱愛真快慢新旧舊东東西南北左右电電车車路城市書书读讀写寫字句声聲音歌"
)
_HANGUL = set(
    "이다는을가에의고은지를하기사로도나자시리어서한인아일대과정그있들해수스보부전라제구만상여와원장게동적니면오유으까조공주비연선마안세화했무거계트일성"
    "문소중방치것우러국내간모드요경물산습었았른생위미개진신금물민실용체등말때했던며네될된할학교회저바야발분못날너좋녕"
)
_PUNCTUATION = set("“”‘’„«»‹›–—…°§€£·¿¡©®™\u00a0ªº№")
_WIDE_PUNCTUATION = set("、。，！？：；「」『』（）《》〈〉【】…—“”‘’·　～")


def _guessed(data: bytes) -> DecodedText:
    if _JIS_ESCAPE.search(data):
        return DecodedText(_decoded(data, "iso2022_jp"), "iso2022_jp")
    sample = b"\n".join(line for line in data.split(b"\n") if not line.isascii())[:SAMPLE_BYTES]
    return _likeliest(data, sample, _ENCODINGS, _plausibility)


def _plausibility(text: str) -> float:
    """How much a text looks like natural language: about 1 for an ordinary text, 0 or less for nonsense."""
    if any(unicodedata.category(character) in _NOT_IN_TEXTS and character not in "\t\r\n\f" for character in text):
        return -1.0
    beyond = [match for match in re.finditer(r"[^\x00-\x7f]", text)]
    if not beyond:
        return -1.0
    common = sum(_score(match) for match in beyond)
    letters = [match.group() for match in beyond if match.group().isalpha()]
    latin = [letter for letter in letters if letter < "\u0370"]
    best = max(
        sum(1.0 if letter.lower() in frequent else 0.7 if letter.lower() in rare else -1.0 for letter in latin)
        for frequent, rare in _LETTERS
    )
    return (common + best) / len(beyond)


def _score(match: re.Match[str]) -> float:
    """The score of a character with its neighbours; Latin letters are scored per language in `_plausibility`."""
    character, text, at = match.group(), match.string, match.start()
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if character in _PUNCTUATION:
        return _score_of_punctuation(character, before, after)
    if character.isalpha():
        strange_case = before.isalpha() and before.islower() and character.isupper()
        if character < "\u0370":
            alone = not before.isalpha() and not after.isalpha() and character.lower() not in _WORDS_OF_ONE_LETTER
            return -1.0 if strange_case or alone else 0.0
        mixed = (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha())
        alone = "Ѐ" <= character <= "ӿ" and not before.isalpha() and not after.isalpha()
        strange = mixed or strange_case or (alone and character.lower() not in _RUSSIAN_WORDS_OF_ONE_LETTER)
        return _score_of_letter(character) - 1.0 * strange
    if unicodedata.category(character)[0] == "M":
        return 0.5
    return 0.8 if character in _WIDE_PUNCTUATION or "！" <= character <= "～" else -1.0


def _score_of_letter(character: str) -> float:
    """The score of a letter that is not Latin."""
    lower = character.lower()
    for alphabet in (_CYRILLIC, _GREEK):
        if lower in alphabet:
            return 1.2 - 1.4 * alphabet.index(lower) / len(alphabet) - 0.1 * (lower != character)
    if "ぁ" <= character <= "ゖ":
        return 1.1
    if "ァ" <= character <= "ー":
        return 0.8
    if "가" <= character <= "힣":
        return 1.2 if character in _HANGUL else 0.4 if _is_in(character, "euc_kr") else -0.5
    if "一" <= character <= "鿿":
        return 1.2 if character in _HAN else 0.3 if _is_common_han(character) else -0.5
    if "\u0900" <= character <= "\u097f":
        return 1.0
    return 0.2 if "\u0590" <= character <= "\u0fff" else -0.8  # lowest for other letters, such as half-width katakana


def _is_common_han(character: str) -> bool:
    """Whether a Chinese character is in the first level of a national standard, which has the common ones."""
    for name, first, last in (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6), ("euc_jp", 0xB0, 0xCF)):
        try:
            if first <= character.encode(name)[0] <= last:
                return True
        except UnicodeEncodeError:
            continue
    return False


def _is_in(character: str, encoding: str) -> bool:
    """Whether an encoding has a character."""
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _score_of_punctuation(mark: str, before: str, after: str) -> float:
    """The score of a mark: positive where it usually stands, opening marks before words and closing ones after them."""
    begins, ends = not before or not before.isalnum(), not after or not after.isalnum()
    if mark == "’" and before.isalpha() and after.isalpha():
        return 1.0
    if mark == "’":
        fits = before.isalpha() or (begins and not ends)
    elif mark in "“‘„«‹¿¡":
        fits = begins or (mark in "“‘«‹" and ends)
    elif mark in "”»›…™®":
        fits = ends or (mark in "»›…" and begins)
    elif mark in "°ªº":
        fits = before.isdigit() or ends
    elif mark in "£€§":
        fits = True
    else:
        fits = begins == ends
    return 0.8 if fits else -0.8
