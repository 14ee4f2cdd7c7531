"""Voice files that are a little off are mended when they are read, and told; what is further off is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity import Voice
from bark_infinity.cli.main import main
from bark_infinity.errors import VoiceError
from bark_infinity.voices.library import list_voices
from bark_infinity.voices.mending import mend_prompts

NAMES = ("semantic_prompt", "coarse_prompt", "fine_prompt")
CASES = Path(__file__).parents[3] / "shared" / "cases"


def arrays(n: int = 100, m: int = 150, m_coarse: int | None = None, dtype=np.int64) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    fine = rng.integers(0, 1024, (8, max(m, m_coarse or m)))
    coarse = fine[:2, fine.shape[1] - (m_coarse or m) :]
    return dict(
        zip(NAMES, (rng.integers(0, 10_000, n).astype(dtype), coarse, fine[:, fine.shape[1] - m :]), strict=True)
    )


def mended(changed: dict[str, np.ndarray]) -> tuple[Voice, str]:
    """The voice that is read from these arrays, and what is told."""
    told: list[str] = []
    np.savez("a.npz", **changed)
    return Voice.load("a.npz", told.append), " ".join(told)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint64, ">i4"])
def test_every_integer_type_is_taken_without_a_word(dtype):
    voice, told = mended({name: (a % 100).astype(dtype) for name, a in arrays().items()})
    assert voice.fine.dtype == np.int64 and told == ""


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], NAMES[1:]])
def test_batch_axes_are_dropped(names):
    plain = arrays()
    voice, told = mended(plain | {name: plain[name][None] for name in names})
    np.testing.assert_array_equal(voice.semantic, plain["semantic_prompt"])
    np.testing.assert_array_equal(voice.fine, plain["fine_prompt"])
    assert told.count("the batch axis of") == len(names) and told.startswith("a.npz is a little off")


def test_voice_with_a_batch_axis_is_listed_with_its_length():
    np.savez("a.npz", **{name: a[None] for name, a in arrays().items()})
    assert list_voices([Path()])[0].seconds == 2.0


@given(st.integers(60, 400), st.floats(1.38, 1.64))
def test_lengths_a_little_off_are_cut_at_the_start_to_the_same_duration(n, ratio):
    m = int(n * ratio)
    before = arrays(n, m)
    after, notes = mend_prompts(before)
    semantic, coarse, fine = (after[name] for name in NAMES)
    assert round(fine.shape[1] / len(semantic), 1) == 1.5
    np.testing.assert_array_equal(semantic, before["semantic_prompt"][n - len(semantic) :])
    np.testing.assert_array_equal(fine, before["fine_prompt"][:, m - fine.shape[1] :])
    np.testing.assert_array_equal(coarse, fine[:2])
    assert bool(notes) == (round(m / n, 1) != 1.5)
    assert n - len(semantic) < 2 or m - fine.shape[1] < 5  # no more is cut than must be


@pytest.mark.parametrize(("n", "m"), [(100, 130), (100, 170), (1, 3), (100, 1)])
def test_lengths_far_off_are_refused(n, m):
    np.savez("a.npz", **arrays(n, m))
    with pytest.raises(VoiceError, match="instead of 1.5"):
        Voice.load("a.npz")


@pytest.mark.parametrize(("m", "m_coarse"), [(150, 149), (149, 150), (150, 142)])
def test_frames_too_many_are_cut_at_the_start(m, m_coarse):
    before = arrays(100, m, m_coarse)
    voice, told = mended(before)
    np.testing.assert_array_equal(voice.coarse, voice.fine[:2])
    np.testing.assert_array_equal(voice.fine[:, -1], before["fine_prompt"][:, -1])
    longer = "fine_prompt" if m > m_coarse else "coarse_prompt"
    assert f"'{longer}' was {abs(m - m_coarse)} frame" in told


def test_frames_too_many_at_the_end_are_cut_there():
    """The codes of both arrays show which end it is."""
    before = arrays()
    before["coarse_prompt"] = before["fine_prompt"][:2, :149]
    voice, _ = mended(before)
    np.testing.assert_array_equal(voice.fine, before["fine_prompt"][:, :149])


def test_more_frames_than_a_step_or_two_are_refused():
    np.savez("a.npz", **arrays(100, 150, 141))
    with pytest.raises(VoiceError, match="'coarse_prompt' has 141 frames and 'fine_prompt' 150"):
        Voice.load("a.npz")


@given(st.sampled_from(NAMES), st.lists(st.integers(0, 3), max_size=4), st.integers(0, 12))
def test_any_shape_is_mended_or_refused(name, shape, extra):
    changed = arrays() | {name: np.zeros(shape, int) if extra > 9 else np.zeros((8, 150 + extra), int)}
    try:
        voice = Voice.from_prompts(changed, "it")
    except VoiceError:
        return
    assert voice.coarse.shape[1] == voice.fine.shape[1] and len(voice.semantic)


@pytest.mark.parametrize("show", [[], ["--dry_run"]])
def test_mended_voice_is_told_once_and_spoken_with(capfd, show):
    np.savez("off.npz", **{name: a[None] for name, a in arrays(100, 156).items()})
    command = ["--model", "demo", "--seed", "1", "--fine_temp", "0", "--semantic_max_gen_duration_s", "0.3"]
    command += ["--history_prompt", "off.npz", "--bark_speaker_as_the_prompt", "off.npz"]
    assert main([*command, *show]) == 0
    error = " ".join(capfd.readouterr().err.split())
    assert error.count("off.npz is a little off and was mended for this run") == 1 and "became 1.5" in error


@pytest.mark.parametrize("show", [[], ["--dry_run"]])
@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_voice_without_semantic_tokens_is_refused(capfd, show):
    voice = str(CASES / "voice_no_semantic.npz")
    assert main(["--model", "demo", "--text_prompt", "Hello", "--history_prompt", voice, *show]) == 2
    assert "has no semantic_prompt" in " ".join(capfd.readouterr().err.split())


def test_python_logs_what_was_mended(demo, caplog):
    demo.find_voice({name: a[None] for name, a in arrays().items()})
    assert "the history prompt is a little off" in caplog.text
