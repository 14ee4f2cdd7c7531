"""What the files of a clip say of the book that it is from: title, author, narrator, language and cover."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..audio.images import MAX_COVER_BYTES, image_fault, image_kind
from ..errors import UsageError
from ..files import read_bounded
from ..options.table import Options
from ..run.naming import COVER_SUFFIXES
from ..run.planning import ClipPlan
from ..run.prompts import Notify
from ..text.events import BookTags
from .manifest import Manifest


@dataclass
class RunBook:
    """The book that a run speaks: what the flags say, else the script, else the manifest of the clip that is made again."""

    tags: BookTags = BookTags()
    cover: bytes | None = None
    chosen: bool = False  # whether the cover is the user's own choice, over that of a plan
    notify: Notify = lambda _: None
    _told: bool = False  # that the cover of a plan cannot be used

    @classmethod
    def find(cls, options: Options, script: BookTags | None, manifest: Manifest | None, notify: Notify) -> RunBook:
        """`script`: what a newly read one says. Raises UsageError for a cover that cannot be used."""
        given = BookTags(options.book_title, options.book_author, options.book_narrator)
        recorded = None if manifest is None else manifest.book
        tags = _merged(_merged(given, script or BookTags()), recorded or BookTags())
        if options.cover is not None:
            return cls(tags, read_cover(options.cover), chosen=True)
        if manifest is None or manifest.cover_sha256 is None:
            return cls(tags, notify=notify)
        assert options.from_manifest is not None
        cover = _recorded_cover(Path(options.from_manifest), manifest.cover_sha256)
        if cover is None:
            notify(f"the cover of {options.from_manifest} is not beside it any more; give it as --cover to have one")
        return cls(tags, cover, notify=notify)

    def of(self, plan: ClipPlan) -> ClipPlan:
        """The plan of a clip of this book. A usable cover that the plan has already stays, unless the user gave one."""
        return replace(plan, book=self.tags, cover=self._own_cover(plan) or self.cover)

    def _own_cover(self, plan: ClipPlan) -> bytes | None:
        """The cover of a plan; None if it has none, if it is damaged, which is told, or if the user gave another one."""
        if plan.cover is None or self.chosen:
            return None
        if (fault := image_fault(plan.cover)) is None:
            return plan.cover
        if not self._told:
            self.notify(f"the cover of the book {fault}, or give another one as --cover; it is left out")
        self._told = True
        return None


def read_cover(path: str) -> bytes:
    """The image of --cover. Raises UsageError."""
    try:
        data = read_bounded(path, MAX_COVER_BYTES)
    except OSError as error:
        raise UsageError(f"--cover {path} cannot be read ({error.strerror}); give a JPEG or a PNG") from None
    if (fault := image_fault(data)) is not None:
        raise UsageError(f"--cover {path} {fault}")
    return data


def cover_suffix(cover: bytes) -> str:
    """What is added to the name of a clip for its cover."""
    return COVER_SUFFIXES[("jpeg", "png").index(image_kind(cover) or "jpeg")]


def book_content(plan: ClipPlan) -> dict[str, object]:
    """The entry of a clip's book in the manifest; empty if nothing is known of it."""
    names = ("title", "author", "narrator", "language")
    content: dict[str, object] = {name: value for name in names if (value := getattr(plan.book, name)) is not None}
    if plan.cover is not None:
        content["cover_sha256"] = hashlib.sha256(plan.cover).hexdigest()
    return content


def _merged(nearer: BookTags, farther: BookTags) -> BookTags:
    """The tags, each from the farther ones where the nearer ones have none."""
    pairs = ((one.name, getattr(nearer, one.name), getattr(farther, one.name)) for one in fields(BookTags))
    return BookTags(**{name: near if near is not None else far for name, near, far in pairs})


def _recorded_cover(manifest: Path, sha256: str) -> bytes | None:
    """The cover beside a manifest; None if there is none with this digest."""
    for suffix in COVER_SUFFIXES:
        try:
            data = read_bounded(manifest.with_name(manifest.stem + suffix), MAX_COVER_BYTES)
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == sha256 and image_fault(data) is None:
            return data
    return None
