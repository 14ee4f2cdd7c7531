"""Guesses the language of a text among Bark's 13: by its script, or by its commonest words."""

from __future__ import annotations

import regex

_SCRIPTS = (  # the first that is found decides: Japanese mixes kana with Han characters
    ("ja", regex.compile(r"[\p{Hiragana}\p{Katakana}]")),
    ("ko", regex.compile(r"\p{Hangul}")),
    ("zh", regex.compile(r"\p{Han}")),
    ("hi", regex.compile(r"\p{Devanagari}")),
    ("ru", regex.compile(r"\p{Cyrillic}")),
)
_LATIN = regex.compile(r"\p{Latin}")
_WORD = regex.compile(r"\p{Latin}+")
_COMMON_WORDS = {  # the most frequent ones of each language that is written in Latin letters
    "en": "the and of to is was in that it you he she for with his her on at be this have from not are but had they we i my "
    "what there one all would will their me no so if out up when who can do about into them then said your has were been "
    "by as an or him its a",
    "de": "der die das und ist nicht ein eine einen einem einer ich du er sie es wir ihr zu mit sich auf für den dem des auch "
    "von war hat haben im an als wie aber noch nach nur bei so aus wenn kann mir mich dich sein ihre was wird sind oder",
    "es": "el la los las y de que en un una es no se por con para su lo le como más pero del al muy está este esta yo tú él "
    "me mi te si ya cuando todo ella son ser había porque también nos qué hay sin sobre a",
    "fr": "le la les et de des un une est pas que qui dans ce cette il elle je tu nous vous ne se pour avec sur au aux du en "
    "mais comme son sa ses plus par était être fait tout bien moi lui leur où été sont ils elles très même a",
    "it": "il lo la gli le e di che un una è non per con del della dei delle in si mi ti ci vi come ma più anche sono ho ha "
    "questo questa nel nella al alla da era lui lei se quando molto tutto essere suo sua perché così a",
    "pl": "i w na z nie że się to jest do jak ale o co tak po za od przez dla jego jej był była było tylko przy być już czy "
    "może ja ty on ona my wy oni ten ta są ich go mu mnie bardzo gdy więc jeszcze a",
    "pt": "o a os as e de que em um uma é não se por com para do da dos das no na ele ela eu você mas como mais ao seu sua "
    "isso este esta está foi ser também muito já quando tem são nos era porque às pela pelo me",
    "tr": "ve bir bu da de için ne o ile çok ben sen biz siz onlar gibi daha en var yok ama değil mi mı mu her kadar sonra "
    "olarak olan şey kendi diye ki bana sana ona iyi zaman şimdi nasıl neden",
}
_LEAST_LEAD = 0.5  # of the first language over the second: half a word that only one of them has
_LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in _COMMON_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, []).append(_language)


def language_of(text: str) -> str | None:
    """The code of a text's language; None where nothing speaks for one, as in a name alone or a few common words."""
    letters = {language: len(script.findall(text)) for language, script in _SCRIPTS}
    other = sum(letters.values())
    if other and other >= len(_LATIN.findall(text)) / 4:  # one character of these scripts says more than a Latin letter
        return next(language for language, n in letters.items() if n * 10 >= other)
    votes: dict[str, float] = {}
    for word in _WORD.findall(text.lower()):
        of = _LANGUAGES_OF.get(word, ())
        for language in of:
            votes[language] = votes.get(language, 0.0) + 1 / len(of)
    ranked = sorted(votes, key=lambda language: votes[language], reverse=True)
    if not ranked or (len(ranked) > 1 and votes[ranked[0]] - votes[ranked[1]] < _LEAST_LEAD):
        return None
    return ranked[0]
