"""What the files of a clip say of the book that it is from: title, author, narrator, language and cover."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..audio.images import MAX_COVER_BYTES, Cover, image_fault
from ..errors import UsageError
from ..files import read_bounded
from ..options.table import Options
from ..run.naming import COVER_SUFFIXES
from ..run.planning import ClipPlan
from ..run.prompts import Notify
from ..run.script_source import script_folder
from ..text.events import BookTags
from .manifest import Manifest


@dataclass(frozen=True)
class RunBook:
    """The book that a run speaks: what the flags say, else the script, else the manifest of the clip that is made again."""

    tags: BookTags = BookTags()
    cover: Cover | None = None

    @classmethod
    def find(
        cls,
        options: Options,
        script: BookTags | None,
        manifest: Manifest | None,
        notify: Notify,
        inside: bytes | None = None,
    ) -> RunBook:
        """`script`: what a newly read one says; `inside`: the cover in the file of the book itself.

        A cover that only the text of --text_prompt names is not read, for that may come from a stranger, who names no
        files of this machine. Raises UsageError for a cover that the user names and that cannot be used.
        """
        given = BookTags(options.book_title, options.book_author, options.book_narrator)
        recorded = None if manifest is None else manifest.book
        tags = _merged(_merged(given, script or BookTags()), recorded or BookTags())
        if options.cover is not None:
            return cls(tags, read_cover("--cover", Path(options.cover)))
        if inside is not None:
            if (fault := image_fault(inside)) is None:
                return cls(tags, Cover(inside))
            notify(f"the cover in {options.prompt_file} {fault}, or give another one as --cover; it is left out")
        if script is not None and script.cover is not None and options.prompt_file is not None:
            path = script_folder(options) / Path(script.cover).expanduser()
            return cls(tags, read_cover(f"--prompt_file {options.prompt_file}: the cover", path))
        if manifest is None or manifest.cover_sha256 is None:
            return cls(tags)
        assert options.from_manifest is not None
        cover = _recorded_cover(Path(options.from_manifest), manifest.cover_sha256)
        if cover is None:
            notify(f"the cover of {options.from_manifest} is not beside it any more; give it as --cover to have one")
        return cls(tags, cover)

    def of(self, plan: ClipPlan) -> ClipPlan:
        """The plan of a clip of this book."""
        return replace(plan, book=self.tags, cover=self.cover)


def read_cover(what: str, path: Path) -> Cover:
    """The cover in a file. `what`: the flag, for messages. Raises UsageError."""
    try:
        data = read_bounded(path, MAX_COVER_BYTES)
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read ({error.strerror}); give a JPEG or a PNG") from None
    if (fault := image_fault(data)) is not None:
        raise UsageError(f"{what} {path} {fault}")
    return Cover(data)


def book_content(plan: ClipPlan) -> dict[str, object]:
    """The entry of a clip's book in the manifest; empty if nothing is known of it."""
    names = ("title", "author", "narrator", "language")
    content: dict[str, object] = {name: value for name in names if (value := getattr(plan.book, name)) is not None}
    if plan.cover is not None:
        content["cover_sha256"] = plan.cover.sha256
    return content


def _merged(nearer: BookTags, farther: BookTags) -> BookTags:
    """The tags, each from the farther ones where the nearer ones have none."""
    pairs = ((one.name, getattr(nearer, one.name), getattr(farther, one.name)) for one in fields(BookTags))
    return BookTags(**{name: near if near is not None else far for name, near, far in pairs})


def _recorded_cover(manifest: Path, sha256: str) -> Cover | None:
    """The cover beside a manifest; None if there is none with this digest."""
    for suffix in COVER_SUFFIXES:
        try:
            cover = Cover(read_bounded(manifest.with_name(manifest.stem + suffix), MAX_COVER_BYTES))
        except OSError:
            continue
        if cover.sha256 == sha256 and image_fault(cover.image) is None:
            return cover
    return None
