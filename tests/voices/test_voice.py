"""Voice files: reading, writing, refusing invalid ones, and finding voices by name."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.errors import VoiceError
from bark_infinity.voices.library import DEMO_VOICES, find_voice, list_voices, voice_folders
from bark_infinity.voices.voice import Voice

NAMES = ("semantic_prompt", "coarse_prompt", "fine_prompt")


def arrays(n: int = 100, m: int = 150, dtype=np.int64, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a valid voice file."""
    rng = np.random.default_rng(seed)
    tokens = (rng.integers(0, 10_000, n), rng.integers(0, 1024, (2, m)), rng.integers(0, 1024, (8, m)))
    return {name: a.astype(dtype) for name, a in zip(NAMES, tokens, strict=True)}


def voice(n: int = 100, m: int = 150, seed: int = 0) -> Voice:
    return Voice(*arrays(n, m, seed=seed).values())


def assert_holds(loaded: Voice, expected: dict[str, np.ndarray]) -> None:
    for ours, name in zip((loaded.semantic, loaded.coarse, loaded.fine), NAMES, strict=True):
        np.testing.assert_array_equal(ours, expected[name])
        assert ours.dtype == np.int64


def refusal(path: str | Path) -> str:
    """The one-line error message for an invalid voice file."""
    with pytest.raises(VoiceError) as caught:
        Voice.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and ";" in message
    return message


# ---- reading and writing --------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(1, 400),
    st.integers(0, 15),
    st.sampled_from([np.uint16, np.int32, np.int64, ">i4"]),
    st.sampled_from([np.savez, np.savez_compressed]),
)
def test_saved_voice_is_loaded_unchanged(pairs, extra, dtype, save):
    n = 2 * pairs
    expected = arrays(n, 3 * pairs + min(extra, n // 21), dtype)  # every ratio that rounds to 1.5
    save("in.npz", **expected)
    loaded = Voice.load("in.npz")
    assert_holds(loaded, expected)
    loaded.save("out.npz")
    assert_holds(Voice.load("out.npz"), expected)


def test_files_have_the_dtypes_of_published_ones():
    voice().save("a.npz")
    with np.load("a.npz", allow_pickle=False) as file:
        assert {name: (a.dtype, a.shape) for name, a in file.items()} == {
            "semantic_prompt": (np.int64, (100,)),
            "coarse_prompt": (np.int64, (2, 150)),
            "fine_prompt": (np.int32, (8, 150)),
        }
    assert os.listdir() == ["a.npz"]


def test_published_voices_load(shared_voices):
    dtypes = set()
    for path in shared_voices.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as file:
            expected = dict(file)
        loaded = Voice.load(path)
        assert_holds(loaded, expected)
        assert loaded.aligned() is loaded
        dtypes |= {str(a.dtype) for a in expected.values()}
    assert dtypes == {"uint16", "int32", "int64"}


def test_extra_arrays_in_the_file_are_ignored():
    np.savez("a.npz", **arrays(), text=np.array("made by another program"), extra=np.array([object()]))
    assert_holds(Voice.load("a.npz"), arrays())


def test_history_prompt_dict_of_the_original_is_accepted():
    lists = {name: a.tolist() for name, a in arrays().items()}
    assert_holds(Voice.from_prompts(lists, "the history prompt"), arrays())
    with pytest.raises(VoiceError, match="^the history prompt .*'fine_prompt'"):
        Voice.from_prompts(lists | {"fine_prompt": []}, "the history prompt")


# ---- faults ---------------------------------------------------------------------------------------------------------


def changed(name: str, value: int) -> np.ndarray:
    """The array with its last values replaced."""
    array = arrays()[f"{name}_prompt"]
    array[..., -1] = value
    return array


FAULTS = {
    "missing": ({"coarse_prompt": None}, ["no coarse_prompt"]),
    "all missing": (dict.fromkeys(NAMES), [f"no {name}" for name in NAMES]),
    "dimensions": ({"semantic_prompt": np.zeros((2, 100), int)}, ["semantic_prompt has shape (2, 100)"]),
    "codebooks": ({"fine_prompt": np.zeros((7, 150), int)}, ["fine_prompt has shape (7, 150) instead of (8, frames)"]),
    "transposed": ({"coarse_prompt": np.zeros((150, 2), int)}, ["coarse_prompt has shape (150, 2)"]),
    "a number": ({"semantic_prompt": np.array(5)}, ["semantic_prompt has shape ()"]),
    "empty": ({"semantic_prompt": np.zeros(0, int)}, ["semantic_prompt has shape (0,)"]),
    "no frames": ({"fine_prompt": np.zeros((8, 0), int)}, ["fine_prompt has shape (8, 0)"]),
    "floats": ({"fine_prompt": np.zeros((8, 150))}, ["fine_prompt holds float64"]),
    "bools": ({"coarse_prompt": np.zeros((2, 150), bool)}, ["coarse_prompt holds bool"]),
    "text": ({"semantic_prompt": np.array(["a"] * 100)}, ["semantic_prompt holds <U1"]),
    "negative": ({"semantic_prompt": changed("semantic", -1)}, ["semantic_prompt has values -1..", "0..9999"]),
    "semantic 10000": ({"semantic_prompt": changed("semantic", 10_000)}, ["..10000 outside 0..9999"]),
    "coarse 1024": ({"coarse_prompt": changed("coarse", 1024)}, ["coarse_prompt", "..1024 outside 0..1023"]),
    "fine 1024": ({"fine_prompt": changed("fine", 1024)}, ["fine_prompt", "..1024 outside 0..1023"]),
    "uint64": ({"semantic_prompt": np.full(100, 2**64 - 1, np.uint64)}, ["..18446744073709551615 outside"]),
    "frames differ": ({"coarse_prompt": np.zeros((2, 141), int)}, ["coarse_prompt has 141 frames", "fine_prompt 150"]),
    "ratio": ({"semantic_prompt": np.zeros(150, int)}, ["150 frames to 150 semantic tokens is 1.00 to 1"]),
    "several": (
        {
            "semantic_prompt": changed("semantic", 10_000),
            "coarse_prompt": np.zeros((2, 140), int),
            "fine_prompt": np.full((8, 170), -3),
        },
        ["..10000 outside", "values -3..-3", "coarse_prompt has 140 frames", "170 frames to 100 semantic tokens"],
    ),
    "one of each kind": (
        {"semantic_prompt": None, "coarse_prompt": np.zeros((3, 150), int), "fine_prompt": np.zeros((8, 150), "f2")},
        ["no semantic_prompt", "coarse_prompt has shape (3, 150)", "fine_prompt holds float16"],
    ),
}


@pytest.mark.parametrize(("changes", "named"), FAULTS.values(), ids=FAULTS)
def test_error_names_every_fault_of_the_file(changes, named):
    np.savez("bad.npz", **{name: a for name, a in (arrays() | changes).items() if a is not None})
    message = refusal("bad.npz").replace("'", "")
    assert [part for part in named if part not in message] == []
    assert not any(f"{name} h" in message or f"no {name}" in message for name in set(NAMES) - set(changes))


@pytest.mark.parametrize(
    ("n", "m", "valid"), [(100, 146, True), (100, 154, True), (100, 133, False), (100, 167, False)]
)
def test_ratio_is_rounded_to_a_tenth(n, m, valid):
    np.savez("a.npz", **arrays(n, m))
    if valid:
        assert Voice.load("a.npz", pytest.fail).seconds == m / 75
    else:
        assert "instead of 1.5" in refusal("a.npz")


def test_missing_file_raises_error_naming_it():
    with pytest.raises(VoiceError, match=r"there is no voice file nowhere/a\.npz; .*--list_speakers"):
        Voice.load("nowhere/a.npz")


def test_foreign_and_damaged_files_raise_an_error_naming_them():
    Path("folder.npz").mkdir()
    Path("empty.npz").touch()
    Path("text.npz").write_text("not a zip")
    np.save("array.npy", np.arange(5))
    np.savez("whole.npz", **arrays())
    data = Path("whole.npz").read_bytes()
    Path("truncated.npz").write_bytes(data[: len(data) // 2])
    middle = data.index(b"fine_prompt.npy") + 5000
    Path("flipped.npz").write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    for name in ("folder.npz", "empty.npz", "text.npz", "array.npy", "truncated.npz", "flipped.npz"):
        assert "copy" in refusal(name)


class Payload:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return open, ("executed", "w")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_unpickled(name):
    np.savez("evil.npz", **arrays() | {name: np.array([Payload()], dtype=object)})
    assert "could run code" in refusal("evil.npz") and name in refusal("evil.npz")
    list_voices([Path()])
    assert not Path("executed").exists()
    np.load("evil.npz", allow_pickle=True)[name]  # the payload does work
    assert Path("executed").exists()


def with_header(name: str, header: str) -> None:
    """Write `crafted.npz` with an array that has this header and no data."""
    padded = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile("crafted.npz", "w") as archive:
        archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded)


@pytest.mark.parametrize("shape", [(10**12,), (2_000_000_000,), (8, 250_000_000), (10**30,), (-5,), (8,), "x"])
@pytest.mark.parametrize("name", ["semantic_prompt", "fine_prompt"])
def test_headers_with_huge_shapes_are_refused_without_allocating(name, shape):
    with_header(name, repr({"descr": "|i1", "fortran_order": False, "shape": shape}))
    tracemalloc.start()
    try:
        assert "cannot be read safely" in refusal("crafted.npz")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


# ---- by name --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders() -> tuple[Path, ...]:
    """prompts/, custom_speakers/ and out/, with voices in them."""
    places = {
        "prompts/shared_name": 2.0,
        "prompts/v2/en_speaker_6": 3.0,
        "custom_speakers/shared_name": 4.0,
        "custom_speakers/granny.v1": 5.0,
        "out/shared_name": 6.0,
        "out/last night": 7.0,
        "elsewhere/de_speaker_1": 8.0,
    }
    for place, seconds in places.items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        voice(int(seconds * 50), int(seconds * 75)).save(f"{place}.npz")
    return voice_folders("out")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("elsewhere/de_speaker_1.npz", "elsewhere/de_speaker_1.npz"),
        ("shared_name", "prompts/shared_name.npz"),
        ("shared_name.npz", "prompts/shared_name.npz"),
        ("custom_speakers/shared_name.npz", "custom_speakers/shared_name.npz"),
        ("v2/en_speaker_6", "prompts/v2/en_speaker_6.npz"),
        ("v2/en_speaker_6.npz", "prompts/v2/en_speaker_6.npz"),
        ("granny.v1", "custom_speakers/granny.v1.npz"),
        ("last night", "out/last night.npz"),
        ("v2/de_speaker_9", None),
        ("de_speaker_9", None),
        ("zh_speaker_0.npz", None),
        ("announcer", None),
    ],
)
def test_voices_are_found_by_path_then_name_then_preset(folders, name, expected):
    assert find_voice(name, folders) == (expected and Path(expected))


def test_paths_may_be_absolute_or_at_home(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    expected = tmp_path / "elsewhere/de_speaker_1.npz"
    assert find_voice(str(expected), folders) == expected
    assert find_voice("~/de_speaker_1.npz", folders) == expected


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("grany", "granny.v1"),
        ("v2/en_speaker_66", "v2/en_speaker_6"),
        ("anouncer", "announcer"),
        ("lastnight", "last night"),
    ],
)
def test_unknown_name_suggests_the_nearest(folders, name, nearest):
    with pytest.raises(VoiceError) as caught:
        find_voice(name, folders)
    message = str(caught.value)
    assert f"'{name}'" in message and nearest in message.partition("did you mean")[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [("qqqqqqqq", "--list_speakers"), ("", "--list_speakers"), ("elsewhere/x.npz", "no voice file elsewhere/x.npz")],
)
def test_unknown_name_without_a_near_one_is_refused(folders, name, message):
    with pytest.raises(VoiceError, match=message):
        find_voice(name, folders)


def test_demo_voices_are_listed_without_any_folder():
    found = list_voices(voice_folders("nowhere"))
    assert [(v.language, v.name, v.models) for v in found] == [
        ("en", "demo_female", "demo"),
        ("en", "demo_male", "demo"),
    ]
    assert all(find_voice(v.name, voice_folders("nowhere")) == v.path and v.seconds > 2 for v in found)
    assert find_voice("announcer", voice_folders("nowhere")) is None


def test_voices_are_listed_sorted_by_language(folders):
    Path("out/broken.npz").write_bytes(b"PK\x03\x04 no more")
    np.savez("out/other.npz", weights=np.zeros(3))
    np.savez("out/clip.segments.npz", **arrays())
    Path("out/clip.wav").touch()
    found = list_voices([*folders, Path("elsewhere")])
    assert [(v.language, v.name, v.path.parts[0], v.seconds) for v in found] == [
        ("", "broken", "out", None),
        ("", "granny.v1", "custom_speakers", 5),
        ("", "last night", "out", 7),
        ("", "other", "out", None),
        ("", "shared_name", "prompts", 2),
        ("de", "de_speaker_1", "elsewhere", 8),
        *(("en", voice.stem, voice.parts[0], Voice.load(voice).seconds) for voice in sorted(DEMO_VOICES.iterdir())),
        ("en", "v2/en_speaker_6", "prompts", 3),
    ]
    for listed in found:
        assert listed.seconds is None or find_voice(listed.name, [*folders, Path("elsewhere")]) == listed.path


# ---- one voice from others ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 460))
def test_aligned_voice_keeps_the_end_and_can_be_saved(n, m):
    before = voice(n, m)
    after = before.aligned()
    if after is None:
        assert n < 2 or m < 4  # two tokens are 3.006 frames
        return
    tokens, frames = len(after.semantic), after.fine.shape[1]
    np.testing.assert_array_equal(after.semantic, before.semantic[n - tokens :])
    np.testing.assert_array_equal(after.coarse, before.coarse[:, m - frames :])
    np.testing.assert_array_equal(after.fine, before.fine[:, m - frames :])
    assert tokens > min(n, m * 49.9 / 75) - 2  # no more is cut than necessary
    after.save("a.npz")
    Voice.load("a.npz")


@pytest.mark.parametrize(
    ("n", "m", "expected"),
    [
        (100, 150, (100, 150)),
        (5, 7, (4, 6)),
        (10, 10, (6, 9)),
        (100, 100, (66, 99)),
        (100, 300, (100, 150)),
        (401, 500, (332, 498)),
    ],
)
def test_aligned_lengths_by_hand(n, m, expected):
    after = voice(n, m).aligned()
    assert (len(after.semantic), after.fine.shape[1]) == expected


def test_voices_are_joined_in_order():
    parts = [voice(4, 6), voice(0, 0), voice(10, 15, seed=1)]
    joined = Voice.concatenate(parts)
    np.testing.assert_array_equal(joined.semantic, np.concatenate([part.semantic for part in parts]))
    np.testing.assert_array_equal(joined.coarse, np.hstack([part.coarse for part in parts]))
    np.testing.assert_array_equal(joined.fine, np.hstack([part.fine for part in parts]))
    assert joined.seconds == 21 / 75


# ---- damage that reaches the parsers ---------------------------------------------------------------------------------


def test_damaged_compression_raises_voice_error_and_is_listed():
    np.savez_compressed("a.npz", **arrays())
    data = bytearray(Path("a.npz").read_bytes())
    with zipfile.ZipFile("a.npz") as archive:
        for member in archive.infolist():
            data[member.header_offset + 90 : member.header_offset + 200] = b"\xff" * 110
    Path("a.npz").write_bytes(data)
    assert list_voices([Path()])[0].seconds is None
    refusal("a.npz")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': (",
        "-" * 9000 + "1",
        repr({"descr": "|V2000000000", "fortran_order": False, "shape": (1000,)}),
        repr({"descr": "|i1", "fortran_order": False, "shape": (10**30, 0)}),
    ],
)
def test_headers_that_break_numpys_parser_raise_voice_error(header):
    with_header("fine_prompt", header)
    list_voices([Path()])
    refusal("crafted.npz")


def test_encrypted_file_raises_voice_error_and_is_listed():
    np.savez("a.npz", **arrays())
    data = bytearray(Path("a.npz").read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            data[place + offset] |= 1
    Path("a.npz").write_bytes(data)
    refusal("a.npz")
    list_voices([Path()])


@pytest.mark.parametrize("name", ["x" * 300, "~nobody_here/x", "a\0b"])
def test_impossible_file_name_raises_voice_error(name):
    with pytest.raises(VoiceError):
        find_voice(name, [Path("prompts")])
