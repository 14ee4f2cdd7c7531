"""Silence at the ends of a segment is shortened, and nothing that is heard is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, babble, silence, tone

from bark_infinity.audio.trimming import KEPT_SECONDS, sounding_span, trim

KEPT = round(KEPT_SECONDS * RATE)


def noise(seconds: float, decibels: float, seed: int = 0) -> np.ndarray:
    return (10 ** (decibels / 20) * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype("f4")


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5), st.sampled_from([-30.0, 0.0]))
def test_digital_silence_is_cut_to_what_is_kept(before, after, seed, level_db):
    speech = babble(1.5, seed) * np.float32(10 ** (level_db / 20))
    speech = speech[np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())[0] :]
    piece = np.concatenate([silence(before), speech, silence(after)])
    found = trim(piece)
    # everything but the weakest beginnings and ends of syllables stays, where it was
    place = np.flatnonzero(np.abs(found) > 0)[0] if found.any() else 0
    assert len(found) <= len(piece)
    assert len(found) <= len(speech) + 2 * KEPT + 480
    loud = np.square(piece).sum()
    assert np.square(found).sum() >= loud * (1 - 1e-4) and place <= KEPT + 240


@pytest.mark.parametrize("noise_db", [-75.0, -60.0])
def test_a_noise_floor_counts_as_silence(noise_db):
    piece = np.concatenate([silence(0.6), babble(1.5), silence(0.8)]) + noise(2.9, noise_db)
    found = trim(piece)
    assert len(piece) - len(found) >= (1.4 - 2 * KEPT_SECONDS - 0.1) * RATE


def test_soft_consonants_at_both_ends_stay():
    soft = noise(0.12, -42)  # an f, 36 dB below the vowels
    piece = np.concatenate([silence(0.4), soft, tone(0.6, -6, 200), soft, silence(0.4)])
    found = trim(piece)
    assert len(found) >= 2 * len(soft) + 0.6 * RATE + 2 * KEPT - 240
    assert len(found) <= 2 * len(soft) + 0.6 * RATE + 2 * KEPT + 480


@pytest.mark.parametrize("piece", [silence(0), silence(1), noise(1, -40), tone(1, -6), tone(0.004, -6)], ids=str)
def test_what_has_no_silence_or_nothing_else_stays_whole(piece):
    np.testing.assert_array_equal(trim(piece), piece)


def test_a_click_of_the_codec_is_no_speech_and_the_burst_of_a_final_t_is():
    click, speech = noise(0.02, -45), tone(1, -6, 200)
    found = trim(np.concatenate([click, silence(0.2), speech, silence(0.1), click, silence(0.4)]))
    assert len(found) == pytest.approx(1.12 * RATE + 2 * KEPT, abs=480)
    assert np.abs(found[-KEPT - 480 : -KEPT]).max() > 0.005


def test_only_the_ends_that_are_asked_for():
    piece = np.concatenate([silence(0.5), tone(1, -6), silence(0.5)])
    assert len(trim(piece, start=False)) == pytest.approx(1.5 * RATE + KEPT, abs=250)
    assert len(trim(piece, stop=False)) == pytest.approx(1.5 * RATE + KEPT, abs=250)
    assert not trim(piece, start=False)[: RATE // 2].any()


def test_cut_noise_does_not_begin_with_a_step():
    piece = np.concatenate([silence(0.5), tone(1, -6), silence(0.5)]) + noise(2, -60)
    found = trim(piece)
    assert found[0] == 0 and found[-1] == 0


def test_samples_that_are_no_numbers_do_no_harm():
    piece = np.concatenate([silence(0.5), tone(1, -6), silence(0.5)])
    piece[20_000] = np.nan
    assert len(trim(piece)) < len(piece)


def test_span_of_what_sounds_has_no_silence_at_its_ends():
    noise = np.random.default_rng(0).normal(0, 1, 26_400).astype(np.float32)
    quiet, loud = 1e-4 * noise, 0.1 * noise
    sound = np.concatenate([quiet[:4800], loud[:24_000], np.zeros(3000, np.float32), loud[24_000:], quiet[:7200]])
    span = sounding_span(sound)
    assert (span.start, span.stop) == pytest.approx((4800, 34_200), abs=240)
    for whole in (loud, np.zeros(1000, np.float32), np.zeros(0, np.float32)):
        assert (sounding_span(whole).start, sounding_span(whole).stop) == (0, len(whole))
