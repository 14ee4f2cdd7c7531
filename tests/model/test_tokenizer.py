"""The tokenizer gives the ids of transformers' BERT tokenizer, which the original uses."""

from __future__ import annotations

import json
import unicodedata

import pytest
import tiny

from bark_infinity.checkpoints.convert import _tokenizer_files
from bark_infinity.errors import CheckpointError
from bark_infinity.model.tokenizer import Tokenizer

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "Hello",
    "hello",
    "wor",
    "##ld",
    "##s",
    ",",
    "!",
    "é",
    "日",
    "本",
    "##é",
    "[",
    "]",
]
TEXTS = [
    "Hello world!",
    "hello   worlds,\n\tHello",
    "é e\u0301 日本",
    "unknown Hello",
    "[MASK] [laughs]",
    "x" * 200 + " Hello",
    "\u200bHello\ufeff",
]


@pytest.mark.parametrize("lowercase", [False, True])
def test_ids_equal_transformers(tmp_path, lowercase):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
    ours = Tokenizer.from_folder(tmp_path)
    theirs = BertTokenizerLegacy(str(tmp_path / "vocab.txt"), do_lower_case=lowercase)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(" ".join(text.split()), add_special_tokens=False), text


def test_composed_and_decomposed_letters_have_the_same_ids(tmp_path):
    tokenizer = Tokenizer.from_vocabulary(WORDS)
    assert tokenizer.encode(unicodedata.normalize("NFD", "é")) == tokenizer.encode("é") != [1]


def test_tokenizer_json_of_save_pretrained_is_read(tmp_path):
    from transformers import BertTokenizerFast

    tiny.write_tokenizer(tmp_path / "txt")
    BertTokenizerFast(str(tmp_path / "txt" / "vocab.txt"), do_lower_case=False).save_pretrained(tmp_path / "json")
    assert not (tmp_path / "json" / "vocab.txt").exists()
    text = "Hello there, General 42!"
    assert Tokenizer.from_folder(tmp_path / "json").encode(text) == Tokenizer.from_folder(tmp_path / "txt").encode(text)


def test_damaged_tokenizer_raises_an_error_naming_it(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer in .* cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_padding_and_truncation_of_a_saved_tokenizer_are_ignored(tmp_path):
    from transformers import BertTokenizerFast

    tiny.write_tokenizer(tmp_path)
    saved = BertTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=False)
    saved("Hello", padding="max_length", max_length=256, truncation=True)
    saved.save_pretrained(tmp_path / "json")
    assert '"Fixed": 256' in (tmp_path / "json" / "tokenizer.json").read_text()
    tokenizer = Tokenizer.from_folder(tmp_path / "json")
    assert len(tokenizer.encode("Hello")) == 5 and len(tokenizer.encode("a " * 300)) == 300


def test_tags_are_dropped_only_when_the_configuration_says_so(tmp_path):
    tiny.write_tokenizer(tmp_path)
    plain = Tokenizer.from_folder(tmp_path)
    assert not plain.ignores_tags and len(plain.encode("MAN: Hello")) > len(plain.encode("Hello"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"ignores_tags": True}))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.encode("MAN: Hello [laughs]") == plain.encode("Hello")
    assert tokenizer.encode("MAN:") == plain.encode("MAN:")


def test_converted_tokenizer_still_drops_tags(tmp_path):
    for name, content in _tokenizer_files(Tokenizer.from_vocabulary(WORDS, ignores_tags=True)).items():
        (tmp_path / name).write_text(content)
    assert Tokenizer.from_folder(tmp_path).ignores_tags
