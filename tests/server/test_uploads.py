"""Uploaded files: their names, bounds, and what nobody can reach through them."""

from __future__ import annotations

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import OutputError, TooLargeError, UnknownUploadError, UploadError
from bark_infinity.server import uploads as module
from bark_infinity.server.uploads import Uploads, shown_name


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "out", 1000, 2500)


def upload(uploads: Uploads, name: str, content: bytes):
    with uploads.receive(name) as incoming:
        for start in range(0, len(content), 100):
            incoming.write(content[start : start + 100])
        return incoming.complete()


def age(uploads: Uploads, seconds: float) -> None:
    """As if nothing had been used for so long."""
    for own in uploads.all():
        os.utime(own.path.parent, (time.time() - seconds,) * 2)


def test_upload_is_found_by_its_id(uploads, tmp_path):
    made = upload(uploads, "C:\\fakepath\\Über mich.txt", b"Some words. " * 20)
    assert (made.name, made.kind, made.n_bytes) == ("Über mich.txt", "text", 240)
    assert made.path.read_bytes() == b"Some words. " * 20
    assert made.path.is_relative_to(tmp_path / "out" / ".uploads")
    assert uploads.find(made.id) == uploads.all()[0]
    assert Uploads(tmp_path / "out", 1000, 2500).find(made.id).path == made.path  # by another process


def test_same_file_twice_is_one_upload(uploads):
    one, same = upload(uploads, "a.txt", b"Hello."), upload(uploads, "a.txt", b"Hello.")
    other = upload(uploads, "b.txt", b"Hello.")
    assert one.id == same.id != other.id
    assert len(uploads.all()) == 2


@pytest.mark.parametrize(
    "id",
    [
        "",
        ".",
        "..",
        "../..",
        "/etc/passwd",
        "a" * 32,
        "a" * 31 + "/",
        "A" * 32,
        "a" * 32 + ".text",
        "\0" * 32,
        "*" * 32,
        "٣" * 32,
    ],
)
def test_no_id_leads_elsewhere(uploads, id):
    upload(uploads, "a.txt", b"Hello.")
    with pytest.raises(UnknownUploadError):
        uploads.find(id)
    with pytest.raises(UnknownUploadError):
        uploads.remove(id)


def test_by_name_the_latest_of_the_kind(uploads):
    first = upload(uploads, "a.txt", b"Hello.")
    age(uploads, 10)
    second = upload(uploads, "a.txt", b"Hello again.")
    assert uploads.named("a.txt", "text").id == second.id
    assert uploads.named(str(first.path), "text").id == first.id
    for name in ("a", ".", "../a.txt", str(first.path.parent), ""):
        with pytest.raises(UnknownUploadError, match="no uploaded text"):
            uploads.named(name, "text")
    with pytest.raises(UnknownUploadError, match="no uploaded voice or image"):
        uploads.named("a.txt", "voice", "image")


def test_large_file_is_refused_while_it_comes(uploads):
    with uploads.receive("a.txt") as incoming:
        incoming.write(b"x" * 1000)
        with pytest.raises(TooLargeError, match="a.txt has more than the 0 MB"):
            incoming.write(b"x")
    assert list(uploads.folder.iterdir()) == []


def test_broken_upload_leaves_nothing(uploads):
    with pytest.raises(RuntimeError):
        with uploads.receive("a.txt") as incoming:
            incoming.write(b"x")
            raise RuntimeError
    with pytest.raises(UploadError, match="a.bin is no text"):
        upload(uploads, "a.bin", bytes(range(256)) * 3)
    assert list(uploads.folder.iterdir()) == []


def test_old_uploads_make_room(uploads):
    old, older = upload(uploads, "a.txt", b"a" * 900), upload(uploads, "b.txt", b"b" * 900)
    age(uploads, 100_000)
    os.utime(older.path.parent, (1, 1))
    upload(uploads, "c.txt", b"c" * 900)
    assert {own.name for own in uploads.all()} == {"a.txt", "c.txt"}
    uploads.find(old.id)  # used now
    with pytest.raises(OutputError, match="remove some"):
        upload(uploads, "d.txt", b"d" * 900)
    uploads.remove(old.id)
    upload(uploads, "d.txt", b"d" * 900)
    assert {own.name for own in uploads.all()} == {"c.txt", "d.txt"}


def test_what_a_killed_server_left_is_removed(uploads):
    uploads.folder.mkdir(parents=True)
    stale, fresh = uploads.folder / ".incoming-1", uploads.folder / ".incoming-2"
    stale.mkdir()
    (stale / "a.txt").write_bytes(b"x")
    fresh.mkdir()
    os.utime(stale, (time.time() - 2 * module._STALE_S,) * 2)
    upload(uploads, "a.txt", b"Hello.")
    assert not stale.exists() and fresh.exists()


def test_many_at_once(uploads):
    made = []

    def run(number: int) -> None:
        made.append(upload(uploads, f"{number % 3}.txt", b"Hello."))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 12 and len({own.id for own in made}) == 3 == len(uploads.all())


@given(st.text(max_size=300))
def test_any_name_becomes_one_that_every_system_takes(name):
    shown = shown_name(name)
    assert shown and shown not in (".", "..") and not shown.startswith((".", "-", " "))
    assert not set(shown) & set('<>:"/\\|?*\0') and shown.isprintable()
    assert len(shown.encode()) <= 200
    assert shown_name(shown) == shown


def test_endings_stay():
    assert shown_name("../../a b.EPUB") == "a b.EPUB"
    assert shown_name("x" * 500 + ".epub").endswith("x.epub")
    assert shown_name("") == "bark"
