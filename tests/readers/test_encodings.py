"""Detecting the encoding of a text file from its bytes alone."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError, UsageError
from bark_infinity.readers.encodings import check_encoding, decode_text

SENTENCES = {
    "cp1252": [
        "It was a “good” day – he said it’s fine. Café.",
        "The café was closed…",
        "He paid £20 — or €25 — for it.",
        "The “naïve” question",
        "Don’t go.",
        "Der Bär läuft über die Straße.",
        "Schöne Grüße aus München!",
        "„Das ist mir gleich“, sagte er.",
        "»Wie heißt du?« fragte das Mädchen.",
        "El niño comió una manzana mañana.",
        "¿Cómo estás? ¡Muy bien!",
        "La canción española",
        "L’été dernier, nous étions à la mer.",
        "« Où êtes-vous ? » demanda le garçon.",
        "Le cœur a ses raisons.",
        "À bientôt !",
        "Perché non è venuto più?",
        "La città è bella.",
        "Così finì la storia: «Addio!»",
        "Não há nada além do coração.",
        "Você já almoçou? Amanhã é sábado.",
        "São Paulo",
        "Flickan åt ett äpple på ön.",
        "Rødgrød med fløde på",
    ],
    "cp1250": ["Zażółć gęślą jaźń.", "Dzień dobry, jak się masz?", "„Gdzie jest mój ojciec?” – zapytała.", "Łódź"],
    "iso-8859-2": ["Zażółć gęślą jaźń.", "Poszedłem wczoraj do sąsiada po mąkę i świeże śliwki."],
    "cp1254": [
        "Bu sabah çok güneşli bir gün.",
        "“Nasılsınız?” diye sordu.",
        "İstanbul'da yağmur yağıyor.",
        "Işık söndü.",
    ],
    "cp1251": [
        "Он вышел на улицу и увидел собаку.",
        "«Что это?» — спросила она.",
        "Да.",
        "Мама мыла раму",
        "Глава 1",
        "ВОЙНА И МИР",
        "Щи да каша — пища наша.",
    ],
    "koi8-r": ["Он вышел на улицу и увидел собаку.", "Мама мыла раму", "Это было летом, в жаркий день."],
    "cp866": ["Он вышел на улицу и увидел собаку.", "Мама мыла раму"],
    "mac_roman": [
        "L’été dernier, nous étions à la mer.",
        "“Good day,” he said. It’s fine.",
        "Das Mädchen läuft über die Straße.",
    ],
    "shift_jis": [
        "吾輩は猫である。名前はまだ無い。",
        "こんにちは、世界！",
        "東京タワーへ行きました。",
        "「おはよう」と彼は言った。",
    ],
    "euc_jp": ["吾輩は猫である。名前はまだ無い。", "東京タワーへ行きました。", "今日はいい天気ですね。"],
    "euc_kr": ["안녕하세요. 저는 학생입니다.", "오늘은 날씨가 좋아요.", "“정말요?” 그녀가 물었다."],
    "gb18030": [
        "今天天气很好，我们一起去公园吧！",
        "你好，世界。",
        "“你是谁？”他问。",
        "鲁镇的酒店的格局，是和别处不同的",
    ],
    "big5": ["今天天氣很好，我們一起去公園吧！", "你好，世界。", "「你是誰？」他問。", "他說他不知道這件事。"],
}
CASES = [(name, sentence) for name, sentences in SENTENCES.items() for sentence in sentences]


@pytest.mark.parametrize(("encoding", "sentence"), CASES)
def test_sentence_in_a_legacy_encoding_is_decoded(encoding, sentence):
    assert decode_text(sentence.encode(encoding)).text == sentence


@pytest.mark.parametrize(
    "name", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "iso2022_jp"]
)
@pytest.mark.parametrize(
    "text",
    ["Hello there.\r\nÉté.\n", "今日はいい天気ですね。\nまた明日。 Hello.\n", "一天\n", "नमस्ते दुनिया।\n", "Да.\r\n"],
)
def test_unicode_is_decoded_with_and_without_a_byte_order_mark(name, text):
    data = text.encode(name, errors="ignore")
    assert decode_text(data).text == data.decode(name).removeprefix("\ufeff")


def test_detected_encoding_is_returned():
    assert decode_text(b"Hello.").encoding == "utf-8"
    assert decode_text("Été.".encode("utf-8-sig")).encoding == "utf-8"
    assert decode_text("Été.".encode("utf-16")).encoding == "utf-16"
    assert decode_text("Été.".encode("cp1252"), "cp850").encoding == "cp850"


def test_damaged_utf8_is_still_detected_as_utf8():
    data = ("L’été dernier, nous étions à la mer. " * 20).encode()
    found = decode_text(data + b"\xff\n" + data[:200] + data[1:2] + b"\xe2\x80")
    assert found.encoding == "utf-8" and found.damaged and "�" not in found.text and "été" in found.text
    assert decode_text("Это текст, который обрезан.".encode()[:-2]).encoding == "utf-8"


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", bytes(range(256)), b"\x80\0\0\0\0"])
def test_binary_data_is_refused(data):
    with pytest.raises(TextError, match="--text_encoding"):
        decode_text(data)


def test_nul_characters_in_a_text_are_tolerated():
    assert decode_text(b"Hello\0 there." + b"\0" * 1000).text.replace("\0", "") == "Hello there."


def test_encoding_can_be_named():
    assert decode_text("Дом".encode("koi8-r"), "KOI8-R").text == "Дом"
    check_encoding("auto"), check_encoding("latin-1")
    for name in ("nonsense", "rot13", "base64", "", "a\0b"):
        with pytest.raises(UsageError, match="--text_encoding"):
            check_encoding(name)
    with pytest.raises(TextError, match="ascii"):
        decode_text("Été".encode(), "ascii")


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(data):
    with contextlib.suppress(TextError):
        assert data == b"" or isinstance(decode_text(data).text, str)


@pytest.mark.parametrize("line", ["Привет, мир. " * 7 + "\n", "привет", "東京タワー。", "Only this. " * 8 + "\n"])
def test_large_files_are_decoded_within_seconds(line):
    data = (line * (4_000_000 // len(line)) + "é").encode(
        "cp1251" if "р" in line else "shift_jis", errors="ignore"
    ) + b"\x84\xb0"
    start = time.perf_counter()
    decode_text(data)
    assert time.perf_counter() - start < 5
