"""The language of a text: by its script, or by its commonest words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity import constants as c
from bark_infinity.text.languages import language_of

TEXTS = {
    "en": "The cat sat on the mat, and it was not there.",
    "de": "Der Hund ist nicht hier, und ich habe ihn auch nicht gesehen.",
    "es": "El perro no está aquí, y yo no lo he visto.",
    "fr": "Le chien n'est pas ici, et je ne l'ai pas vu dans la rue.",
    "hi": "कुत्ता यहाँ नहीं है।",
    "it": "Il cane non è qui, e io non lo so più.",
    "ja": "犬はここにいません。",
    "ko": "개는 여기에 없습니다.",
    "pl": "Pies jest w domu, ale nie ma go tu teraz.",
    "pt": "O cão não está aqui, e eu também não o vi.",
    "ru": "Собаки здесь нет.",
    "tr": "Köpek burada değil ve ben onu da görmedim, çok kötü.",
    "zh": "狗不在这里。",
}


@pytest.mark.parametrize("language", c.LANGUAGES)
def test_language_of_a_sentence_is_found(language):
    assert language_of(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["Once upon a time there was a king.", "A man had a dog."])
def test_a_word_of_several_languages_counts_for_each(text):
    assert language_of(text) == "en"


def test_a_quoted_foreign_word_does_not_decide():
    assert (
        language_of(
            "He said \N{LEFT DOUBLE QUOTATION MARK}привет\N{RIGHT DOUBLE QUOTATION MARK} to her, and she left the room."
        )
        == "en"
    )


@pytest.mark.parametrize("text", ["", "Barack Obama", "12:30", "no"])
def test_nothing_is_guessed_from_too_little(text):
    assert language_of(text) is None


@given(st.text(max_size=80))
def test_any_text_has_one_of_the_languages_or_none(text):
    assert language_of(text) in {None, *c.LANGUAGES}
