"""Text to WordPiece ids, as the multilingual cased BERT tokenizer makes them. Reading the vocabulary takes 0.05 s."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..constants import SPEAKER_NAMES
from ..errors import CheckpointError
from ..files import read_bounded

if TYPE_CHECKING:
    from tokenizers import Tokenizer as BackendTokenizer

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")  # either is enough
_MAX_BYTES = 50_000_000  # of any of them; the multilingual one has 3 MB
_CACHED_TEXTS = 20_000  # segments; 16 MB at most usually
CONFIG_FILE = "tokenizer_config.json"
IGNORES_TAGS = "ignores_tags"  # its entry for a model that was not taught Bark's tags and would read them as words
TOKENIZER_FILES = (*VOCABULARY_FILES, CONFIG_FILE)
_TAG = re.compile(  # "[laughs]", "[MAN]", "OLD MAN:" and the notes around lyrics
    rf"\[[^][\n]{{1,30}}\] | (?<!\S)(?:[A-Z]+\ ){{0,2}}(?:{SPEAKER_NAMES})(?:\ \d+)?:(?=\s|$) | ♪", re.VERBOSE
)


class Tokenizer:
    """`encode` gives the ids of a text without special tokens and without Bark's offset.

    `ignores_tags`: Bark's tags, such as `MAN:` and `[laughs]`, are left out, unless a text has nothing else.
    """

    def __init__(self, backend: BackendTokenizer, ignores_tags: bool = False):
        self._backend = backend
        self.ignores_tags = ignores_tags
        self._cached = functools.lru_cache(maxsize=_CACHED_TEXTS)(self._encode)

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`. Raises CheckpointError."""
        whole, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
        try:
            config = _read_config(folder / CONFIG_FILE)
            ignores_tags = config.get(IGNORES_TAGS) is True
            if whole.is_file():
                from tokenizers import Tokenizer as Backend

                backend = Backend.from_str(read_bounded(whole, _MAX_BYTES).decode("utf-8"))
                backend.no_padding()  # `save_pretrained` keeps both as they were last used
                backend.no_truncation()
                return cls(backend, ignores_tags)
            if vocabulary.is_file():
                words = read_bounded(vocabulary, _MAX_BYTES).decode("utf-8").split("\n")
                return cls.from_vocabulary(words, bool(config.get("do_lower_case", False)), ignores_tags)
        except Exception as error:  # the backend raises bare Exception for whatever is wrong with a file
            raise CheckpointError(
                f"the tokenizer in {folder} cannot be read ({str(error)[:200]}); copy or download it again"
            ) from None
        raise CheckpointError(
            f"{folder} has no tokenizer (tokenizer.json or vocab.txt); copy it from the model's repository"
        )

    @classmethod
    def from_vocabulary(cls, words: Sequence[str], lowercase: bool = False, ignores_tags: bool = False) -> Tokenizer:
        """A WordPiece tokenizer of BERT's kind from the words of a `vocab.txt`, in order."""
        from tokenizers import Tokenizer as Backend
        from tokenizers import models, normalizers, pre_tokenizers

        ids = {word.rstrip("\r"): i for i, word in enumerate(words) if word.strip()}
        backend = Backend(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
        backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.add_special_tokens([word for word in ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]") if word in ids])
        return cls(backend, ignores_tags)

    def encode(self, text: str) -> list[int]:
        """White space collapsed and composed characters joined (NFC), as the original's tokenizer does."""
        return list(self._cached(text))  # cached, because planning, checking and speaking encode the same text

    def _encode(self, text: str) -> tuple[int, ...]:
        if self.ignores_tags:
            text = _TAG.sub(" ", text) if _TAG.sub("", text).strip() else text
        text = unicodedata.normalize("NFC", re.sub(r"\s+", " ", text).strip())
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def to_json(self) -> str:
        """The content of a `tokenizer.json`."""
        return self._backend.to_str()


def _read_config(path: Path) -> dict[str, Any]:
    return dict(json.loads(read_bounded(path, _MAX_BYTES))) if path.is_file() else {}
