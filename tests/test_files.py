"""Legal file names, and files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark_infinity.errors import OutputError
from bark_infinity.files import name_together, portable_stem, remove_stale_temporaries, safe_stem, write_whole

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=200)  # lone surrogates too, as argv may hold them
FORBIDDEN = set('<>:"/\\|?*\x7f') | {chr(code) for code in range(32)}  # on Windows; Linux and macOS forbid less

# ---- names ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(ANY_TEXT)
@example("x" * 159 + "... and more")
@example("ö" * 300)
@example("\ud800")
@example("a\u0301" * 100)
@pytest.mark.parametrize("to_stem", [safe_stem, portable_stem])
def test_any_text_becomes_a_legal_name(to_stem, text):
    stem = to_stem(text)
    assert stem and not FORBIDDEN & set(stem)
    assert not stem.startswith((" ", "-")) and not stem.endswith((" ", "."))
    assert len(stem.encode()) <= 160
    assert stem == unicodedata.normalize("NFC", stem)  # macOS would find it under another name
    Path(f"{stem}.segments.npz").touch()
    assert Path(f"{stem}.segments.npz").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, my name is Suno.", "Hello_my_name_is_Suno"),
        ("नमस्ते दुनिया", "नमस्ते_दुनिया"),
        ("你好，世界！", "你好_世界"),
        ("مرحبا بالعالم", "مرحبا_بالعالم"),
        ("สวัสดีชาวโลก", "สวัสดีชาวโลก"),
        ("Привет, мир — ёж", "Привет_мир_ёж"),
        ("e\u0301te\u0301", "été"),
        ("v2/en_speaker_6", "v2_en_speaker_6"),
        ("O'Brien (live) 3.14-a", "O_Brien_live_3_14-a"),
        ("../../etc/passwd", "etc_passwd"),
        (r"C:\temp\x", "C_temp_x"),
        ("-rf", "rf"),
        ("a\0b\nc\td", "a_b_c_d"),
        ("the end...", "the_end"),
        ("😀🎉", "bark"),
        ("❤️", "bark"),
        ("☎️ ✉️", "bark"),
        ("-.hidden", "hidden"),
        ("-_x", "x"),
        ("con.txt", "con_txt"),
        ("♪ … ♪", "bark"),
        (". . .", "bark"),
        ("", "bark"),
    ],
)
def test_file_names_keep_letters_of_every_script(text, expected):
    assert safe_stem(text) == expected
    assert safe_stem(expected) == expected


@pytest.mark.parametrize("device", ["con", "PRN", "Aux", "nul", "COM1", "com9", "lpt1", "LPT9", "COM¹", "lpt²", "com³"])
def test_device_names_of_windows_are_avoided(device):
    assert safe_stem(device) == safe_stem(f"{device}?") == f"{device}_"
    assert safe_stem(f"{device}_") == f"{device}_"
    assert safe_stem(f"{device}sole") == f"{device}sole"


def test_long_names_are_truncated_between_characters():
    assert safe_stem("世" * 200) == "世" * 53
    assert safe_stem("नमस्ते", max_bytes=10) == "नमस"
    assert safe_stem("abc_def", max_bytes=4) == "abc"


# ---- writing --------------------------------------------------------------------------------------------------------


def test_file_appears_only_when_it_is_complete():
    def write(file):
        file.write(b"half")
        file.flush()
        assert not Path("a").exists()
        file.write(b" and half")

    write_whole(Path("a"), write)
    assert Path("a").read_bytes() == b"half and half"
    assert os.listdir() == ["a"]


@pytest.mark.parametrize("before", [None, b"before"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (ValueError("bad"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
    ],
)
def test_failed_write_changes_nothing(before, failure, raised):
    if before is not None:
        Path("a").write_bytes(before)

    def write(file):
        file.write(b"half")
        raise failure

    with pytest.raises(raised) as caught:
        write_whole(Path("a"), write)
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == ({} if before is None else {"a": before})
    if raised is OutputError:
        assert "write a " in str(caught.value) and "No space left" in str(caught.value)


def test_an_existing_file_is_replaced():
    Path("a").write_bytes(b"a much longer file than the new one")
    write_whole(Path("a"), lambda file: file.write(b"new"))
    assert Path("a").read_bytes() == b"new"


@pytest.mark.parametrize("hard_links", [True, False])
def test_existing_file_is_kept_when_overwriting_is_forbidden(monkeypatch, hard_links):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    write_whole(Path("a"), lambda file: file.write(b"first"), overwrite=False)
    with pytest.raises(FileExistsError):
        write_whole(Path("a"), lambda file: file.write(b"second"), overwrite=False)
    assert Path("a").read_bytes() == b"first"
    assert os.listdir() == ["a"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(overwrite, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(Path("a"), lambda file: file.write(b"x"), overwrite)
        assert os.umask(umask) == umask  # as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("a").stat().st_mode) == mode


def test_umask_of_the_process_is_never_changed(monkeypatch):
    """It is shared by all threads: a file that another thread creates meanwhile would get the wrong permissions."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
    write_whole(Path("a"), lambda file: file.write(b"x"))
    assert os.listdir() == ["a"]


def test_only_our_own_stale_temporary_files_are_removed():
    ours, encoders = f".bark-infinity-{'a' * 16}.tmp", f".bark-infinity-{'b' * 16}.tmp.m4a"
    foreign = [".tmp", ".x.tmp", f"bark-infinity-{'a' * 16}.tmp", f".bark-infinity-{'g' * 16}.tmp", f"{ours}.a/"]
    recent, link = f".bark-infinity-{'c' * 16}.tmp", f".bark-infinity-{'d' * 16}.tmp"
    for name in (ours, encoders, recent, *foreign):
        Path(name).mkdir() if name.endswith("/") else Path(name).touch()
        if name != recent:
            os.utime(name, (0, 0))
    Path(link).symlink_to(ours)
    remove_stale_temporaries(Path())
    assert sorted(os.listdir()) == sorted([recent, link, *(name.rstrip("/") for name in foreign)])
    remove_stale_temporaries(Path("absent"))


@pytest.mark.parametrize(
    ("path", "named"),
    [("missing/a", "missing (No such file"), ("file/a", "file (Not a directory"), ("x" * 300, "name too long")],
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_unwritable_folder_raises_an_error_naming_it(path, named, overwrite):
    Path("file").touch()
    with pytest.raises(OutputError) as caught:
        write_whole(Path(path), lambda file: file.write(b"x"), overwrite)
    assert named in str(caught.value) and "another folder" in str(caught.value) and "\n" not in str(caught.value)
    assert os.listdir() == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes in read-only folders")
def test_read_only_folder_raises_an_error_naming_it():
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="locked.*Permission denied.*--output_dir"):
        write_whole(Path("locked/a"), lambda file: file.write(b"x"))


# ---- several at once ------------------------------------------------------------------------------------------------


def moves() -> list[tuple[Path, Path]]:
    """Two files and a folder between them, with their final names."""
    Path(".hidden/folder").mkdir(parents=True)
    for name in ("a", "folder/in", "z"):
        Path(".hidden", name).write_text(name)
    return [(Path(".hidden", name), Path(f"new {name}")) for name in ("a", "folder", "z")]


def test_several_files_are_renamed_together():
    name_together(moves())
    assert Path("new a").read_text() == "a" and Path("new folder/in").read_text() == "folder/in"
    assert os.listdir(".hidden") == [] and len(os.listdir()) == 4


@pytest.mark.parametrize("hard_links", [True, False])
@pytest.mark.parametrize("taken", ["new a", "new folder", "new z"])
def test_one_taken_name_prevents_all_renames(monkeypatch, taken, hard_links):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    Path(taken).write_text("precious")
    with pytest.raises(FileExistsError):
        name_together(moves())
    assert sorted(os.listdir()) == [".hidden", taken] and Path(taken).read_text() == "precious"
    assert sorted(os.listdir(".hidden")) == ["a", "folder", "z"] and Path(".hidden/folder/in").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_error_while_renaming_undoes_all_renames(monkeypatch, failure):
    replace, calls = os.replace, []

    def breaks(*arguments):  # for the folder; files are linked
        calls.append(arguments)
        if len(calls) == 1:
            raise failure
        replace(*arguments)

    monkeypatch.setattr(os, "replace", breaks)
    with pytest.raises(failure):
        name_together(moves())
    assert os.listdir() == [".hidden"] and sorted(os.listdir(".hidden")) == ["a", "folder", "z"]


@pytest.mark.parametrize("which", [1, 2])
def test_file_with_both_names_loses_the_new_one_when_interrupted(monkeypatch, which):
    unlink, calls = os.unlink, []

    def interrupted(*arguments, **more):
        calls.append(arguments)
        if len(calls) == which:
            raise KeyboardInterrupt
        unlink(*arguments, **more)

    monkeypatch.setattr(os, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        name_together(moves())
    assert os.listdir() == [".hidden"] and sorted(os.listdir(".hidden")) == ["a", "folder", "z"]
