import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.sentences import begins_sentences_small, sentence_ends

# Each text is marked with | where its sentences end.
LANGUAGES = {
    "en": "Dr. Smith met J. R. R. Tolkien at 3.14 p.m. on Main St. in the U.S.| He said no.| See e.g. Fig. 3 and no. 5.",
    "de": "Am 3. Oktober kam Hr. Müller, z. B. mit Prof. Dr. Weber.| Das war 1999.| Dann kam der 2. Weltkrieg usw.| Er ging.",
    "es": "El Sr. García y la Sra. López viven en EE. UU. desde 1999.| ¡No!| ¿Sí?| Claro.",
    "fr": "M. Le Pen et Mme. Dupont sont là.| Quoi ?| C'est vrai !| Elle a, p. ex. ce matin, tout vu.",
    "hi": "डॉ. शर्मा आए।| वे कल गए थे।| क्या?| हाँ!| बस।",
    "it": "Il Sig. Rossi e il Dott. Bianchi arrivano alle 10.30.| Poi G. La Russa parla.| Basta.",
    "ja": "今日は晴れ。|明日は？|３．１４です。|（笑）。|はい。",
    "ko": "안녕하세요.| 저는 김 박사입니다.| 3.5킬로미터예요!| 어디 가세요?| 네.| 좋아요.",
    "pl": "Prof. Nowak mieszka na ul. Długiej, tzn. obok.| To było w 1990 r. i potem.| Św. Jan śpi.",
    "pt": "O Sr. Silva e a Dra. Souza chegaram às 15.30.| Depois saíram.| E foi só?| Não!",
    "ru": "А. С. Пушкин родился в 1799 г. в Москве, и т. д.| Потом он жил на ул. Ленина.| Да!",
    "tr": "Prof. Dr. Yılmaz geldi.| 2. Dünya Savaşı 1945'te bitti.| Örn. Ankara güzel.| Evet.",
    "zh": "今天天气很好。|我们去公园吧！|价格是3.14元。|真的吗?|我不信。",
}

ROOT = Path(__file__).parents[2]


def split_sentences(text: str) -> list[str]:
    """The sentences of one paragraph, stripped."""
    bounds = [0, *sentence_ends(text), len(text)]
    sentences = (text[start:end].strip() for start, end in pairwise(bounds))
    return [sentence for sentence in sentences if sentence]


def check(marked: str) -> None:
    assert split_sentences(marked.replace("|", "")) == [part.strip() for part in marked.split("|")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_of_every_language(language: str) -> None:
    check(LANGUAGES[language])


@pytest.mark.parametrize(
    "marked",
    [
        'He said "Stop."| Then he left.',
        "(It was late.)| We left.",
        "“Go!”| She went.",
        "„Ja.“| Er ging.",
        "« Non ! »| Puis elle partit.",
        "*He left.*| Then _so._| Good.",
        "“走吧。”|「はい。」|[ok.]",
    ],
)
def test_closing_marks_stay_with_their_sentence(marked: str) -> None:
    check(marked)


@pytest.mark.parametrize(
    "marked",
    [
        '"What?" he asked.| "I know." she said.',
        "« Où vas-tu ? » demanda-t-il.",
        "—¿Qué? —preguntó Juan.",
        "— Привет! — сказал он.| Да.",
        "「行くぞ！」と彼は言った。|はい。",
        "“走吧！”她笑了。|好。",
    ],
)
def test_quotation_does_not_end_the_enclosing_sentence(marked: str) -> None:
    check(marked)


@pytest.mark.parametrize(
    "marked",
    [
        "Well... maybe so.| Wait. . .| What?",
        "So… I left.| Then…| Nothing.",
        "Really?!| No!!!| Yes.",
        "Quoi ? !| Oui.",
        "Why? ...| Because.",  # three dots alone are not a sentence
    ],
)
def test_ellipses_and_repeated_marks(marked: str) -> None:
    check(marked)


def test_ambiguous_word_is_an_abbreviation_only_before_a_number() -> None:
    check("I said no.| Martha left.| It is art.| See art. 12 and no. 5.")


def test_capital_letters_distinguish_a_title_from_a_word() -> None:
    check("Sen. Smith spoke.| Kimsin sen.| Ben Ali.")
    check("Tell me.| Martha did.| Dr. No came.")


def test_abbreviation_at_the_end_of_a_sentence() -> None:
    check("He works at Acme Inc.| The pay is good.| Bob Jr. and Acme Inc. left.")


def test_text_in_lower_case_is_split() -> None:
    check("hello there.| how are you?| i am fine.")


def test_number_of_a_list_item_stays_with_the_item() -> None:
    check("1. Buy milk.| 2. Buy eggs.| How many?| 7. Good.")


def test_no_sentence_ends_inside_a_word() -> None:
    check("Visit example.com/a.b?c=1!x or v1.2.3 at 3:45.| It costs $5.50.")


def test_nltk_is_not_imported() -> None:
    code = "import sys; from bark_infinity.text.sentences import sentence_ends as e; e('Dr. A. B. Hi! One. Two. 3. Four.'); sys.exit('nltk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_lower_case_begins_sentences_only_in_mostly_lower_case_text() -> None:
    text = "I went out. it was cold. we came home."
    check("I went out.| it was cold.| we came home.")
    assert begins_sentences_small(text) and not begins_sentences_small("It was cold (in Nov. too). See vol. two. Go.")
    check("The abbrev. stands here.| It is one.| So is abc. by itself.")
    assert split_sentences("I went out. it was cold.") == ["I went out. it was cold."]
    assert sentence_ends("I went out. it was cold.", small_letters=True) == [11]


def test_dates_and_ordinals_are_not_list_items() -> None:
    check("Am 1. Mai und am 2. Juni ist frei.| Am 3. auch.")
    check("We need (a) time and (b) money.| Either 1) go or 2) stay.")


@pytest.mark.parametrize(
    "unit", ["1. A ", "a) B ", "[x] ", ".[1] ", "»A.« ", "(a b) ", "a.B", "Mr. ", "「あ。」", "“व!” ", "*a* . "]
)
def test_time_is_linear_in_the_length(unit: str) -> None:
    start = time.perf_counter()
    sentence_ends(unit * (200_000 // len(unit)))
    assert time.perf_counter() - start < 8


@given(st.text(alphabet="aB1. !?…。」\"'»“-।\n ", max_size=60))
def test_sentences_cover_the_text_and_contain_words(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
    ends = sentence_ends(text)
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        assert not ends or any(char.isalnum() for char in text[start:end])
