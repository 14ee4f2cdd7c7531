"""Reads the metadata at the top of a Markdown file: YAML between lines of ---, TOML of +++, or pandoc's % lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..options.toml import TomlError, parse_toml

MAX_LENGTH = 100_000  # characters of metadata

_FENCED = re.compile(
    r"\s*(?P<fence>---|\+\+\+)[ \t]*\n(?P<content>.*?)^(?:(?P=fence)|\.\.\.)[ \t]*(?:\n|\Z)", re.M | re.S
)
_YAML_LINE = re.compile(r"(?:[\w-][\w -]*|\"[^\"]+\"):(?:[ \t].*)?|[ \t]+\S.*|-(?:[ \t].*)?|#.*|[}\]]")
_YAML_KEY = re.compile(r"(?P<key>[\w-]+):[ \t]*(?P<value>.*)")
_YAML_ITEM = re.compile(r"[ \t]*-[ \t]+(?:(?:name|text|role|type):[ \t]*)?(?P<value>.*)")
_QUOTED = re.compile(r"""(["'])(?P<text>.*)\1(?:[ \t]+#.*)?""")
_COMMENT = re.compile(r"[ \t]#.*")
_PANDOC = re.compile(
    r"%[ \t]*(?P<title>[^\n]*(?:\n[ \t]+[^\n]+)*)\n"
    r"(?:%[ \t]*(?P<author>[^\n]*(?:\n[ \t]+[^\n]+)*)(?:\n|\Z))?"
    r"(?:%[^\n]*(?:\n|\Z))?"  # the date
)
_NAMES = {  # of the keys that count, the first that is given does
    "title": ("title", "book_title"),
    "author": ("author", "authors", "creator"),
    "language": ("lang", "language"),
}


class Metadata(NamedTuple):
    """What a document says of itself."""

    title: str | None = None
    author: str | None = None
    language: str | None = None


def split_metadata(text: str) -> tuple[Metadata, str]:
    """The metadata at the top of a text, and the rest of it. What only looks like metadata stays in the text."""
    fenced = _FENCED.match(text[:MAX_LENGTH])
    if fenced is not None:
        values = _toml(fenced["content"]) if fenced["fence"] == "+++" else _yaml(fenced["content"])
        if values is not None:
            return _metadata(values), text[fenced.end() :]
    block = _PANDOC.match(text[:MAX_LENGTH])
    if block is not None and block["title"].strip():
        author = ", ".join(re.split(r"\s*(?:;|\n)\s*", (block["author"] or "").strip()))
        return Metadata(" ".join(block["title"].split()), author or None), text[block.end() :]
    return Metadata(), text


def _metadata(values: Mapping[str, str]) -> Metadata:
    found = ((values.get(key) for key in keys) for keys in _NAMES.values())
    return Metadata(*(next((" ".join(value.split()) for value in own if value), None) for own in found))


def _toml(content: str) -> dict[str, str] | None:
    """The texts of TOML by name, and lists of texts with commas; None if it is no TOML."""
    try:
        values = parse_toml(content)
    except TomlError:
        return None
    texts: dict[str, str] = {}
    for key, value in values.items():
        parts = value if isinstance(value, list) else [value]
        texts[key.lower()] = ", ".join(part for part in parts if isinstance(part, str))
    return texts


def _yaml(content: str) -> dict[str, str] | None:
    """The texts of simple YAML by name, and lists of texts with commas; None if it does not look like YAML."""
    lines = [line.rstrip() for line in content.split("\n") if line.strip()]
    if not lines or not all(_YAML_LINE.fullmatch(line) for line in lines) or not any(map(_YAML_KEY.match, lines)):
        return None
    values: dict[str, list[str]] = {}
    own: list[str] = []
    for line in lines:
        if (entry := _YAML_KEY.fullmatch(line)) is not None:
            own = values.setdefault(entry["key"].lower(), [])
            own += _yaml_texts(entry["value"])
        elif (item := _YAML_ITEM.fullmatch(line)) is not None:
            own += _yaml_texts(item["value"])
        elif line[0] in " \t" and not line.lstrip().startswith("#") and not _YAML_KEY.match(line.strip()):
            own[-1:] = [" ".join([*own[-1:], *_yaml_texts(line.strip())])]  # a text over several lines
    return {key: ", ".join(texts) for key, texts in values.items()}


def _yaml_texts(value: str) -> list[str]:
    """The texts in a value: one, those of a list in brackets, or none if they are in the lines below."""
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        return [text for part in value[1:-1].split(",") for text in _yaml_texts(part)]
    if (quoted := _QUOTED.fullmatch(value)) is not None:
        return [quoted["text"].replace('\\"', '"').replace("''", "'")]
    value = _COMMENT.sub("", f" {value}").strip()
    return [] if value in ("", "|", ">", "|-", ">-", "|+", ">+") else [value]
