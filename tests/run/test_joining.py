"""How segments become one sound: trimmed, faded into each other, and with silence around a clip or its chapters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fakes import Recorder, plan, recipe_of, whole_clips
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, babble, silence

from bark_infinity.audio.targets import HEAD_SECONDS, TAIL_SECONDS
from bark_infinity.audio.trimming import KEPT_SECONDS, trim
from bark_infinity.audio.writing import Joiner
from bark_infinity.bark import Generation
from bark_infinity.run.pauses import Pause


class Talking(Recorder):
    """Segments of speech with silence at both ends; those named in `silent` have no sound."""

    def say(self, text: str) -> Generation:
        generation = super().say(text)
        if text in self.silent:
            return generation
        sound = np.concatenate([silence(0.4), babble(1, int(text[1:])), silence(0.5)])
        return dataclasses.replace(generation, audio=sound)


def clip_of(texts: list[str], pauses: list[Pause] | None = None, silent: frozenset[str] = frozenset(), **options):
    clip = plan(texts, **options)
    if pauses is not None:
        own = zip(clip.segments, pauses, strict=True)
        clip = dataclasses.replace(clip, segments=tuple(dataclasses.replace(s, pause=p) for s, p in own))
    (made,) = whole_clips(recipe_of(Talking(silent), check_segments="off", **options), [clip])
    return made


TEXTS = ["s1", "s2", "s3"]


def test_every_segment_is_trimmed_where_it_is_placed():
    made = clip_of(TEXTS, trim_silence=True)
    for k, span in enumerate(made.spans, 1):
        whole = np.concatenate([silence(0.4), babble(1, k), silence(0.5)])
        np.testing.assert_array_equal(made.audio[span.start : span.stop], trim(whole))
        assert span.stop - span.start <= (1 + 2 * KEPT_SECONDS + 0.02) * RATE


def test_crossfades_overlap_the_spans_and_nothing_else():
    made = clip_of(TEXTS, crossfade_ms=50, add_silence_between_segments=0)
    n = round(0.05 * RATE)
    assert [span.stop - n for span in made.spans[:-1]] == [span.start for span in made.spans[1:]]
    assert len(made.audio) == made.clip.samples == made.spans[-1].stop
    for k, span in enumerate(made.spans, 1):
        whole = np.concatenate([silence(0.4), babble(1, k), silence(0.5)])
        np.testing.assert_array_equal(made.audio[span.start + n : span.stop - n], whole[n:-n])


def test_an_audiobook_has_silence_at_both_ends():
    made = clip_of(TEXTS, loudness="audiobook")
    first, last = made.spans[0], made.spans[-1]
    assert first.start == round((HEAD_SECONDS - KEPT_SECONDS) * RATE)
    assert len(made.audio) - last.stop == round((TAIL_SECONDS - KEPT_SECONDS) * RATE)
    sounding = np.flatnonzero(np.abs(made.audio) > 0.01)
    assert 0.5 <= sounding[0] / RATE <= 1 and 1 <= (len(made.audio) - sounding[-1]) / RATE <= 5


def test_chapters_in_files_of_their_own_have_it_too():
    pauses = [Pause("segment", 0.25), Pause("chapter", 2.0), Pause()]
    gap = [
        made.spans[2].start - made.spans[1].stop
        for made in (
            clip_of(TEXTS, pauses, loudness="audiobook"),
            clip_of(TEXTS, pauses, loudness="audiobook", chapter_files=True),
        )
    ]
    around = HEAD_SECONDS + TAIL_SECONDS - 2 * KEPT_SECONDS
    assert gap == [2 * RATE, round(around * RATE)]


def test_a_silent_segment_parts_no_crossfade_and_loses_nothing():
    made = clip_of(TEXTS, silent=frozenset({"s2", "s3"}), crossfade_ms=50, add_silence_between_segments=0)
    np.testing.assert_array_equal(made.audio, np.concatenate([silence(0.4), babble(1, 1), silence(0.5)]))
    assert made.spans[1].start == made.spans[1].stop == len(made.audio)


# ---- the joiner -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.0, 0.001]), st.booleans()), max_size=7),
    st.sampled_from([0.0, 0.0005, 0.001]),
)
def test_pieces_keep_their_power_and_their_places(pieces, crossfade):
    joiner = Joiner(crossfade_seconds=crossfade)
    added, spans, length = [], [], 0
    for n, pause, meets in pieces:
        sound, span = joiner.add(np.ones(n, np.float32), pause, meets)
        added.append(sound)
        spans.append((n, span))
    added.append(joiner.finish())
    whole = np.concatenate(added)
    assert len(whole) == joiner.length
    assert all(span.stop - span.start == n for n, span in spans)
    for n, span in spans:
        if n:
            assert span.start >= length - round(
                crossfade * RATE
            )  # it begins where the last one ends, or fades in before
            assert (whole[span.start : span.stop] > 0.99).all()  # cosine and sine are at least 1 in sum
            length = span.stop
    assert len(whole) == length and whole.max(initial=0) <= np.sqrt(2) + 1e-6


@pytest.mark.parametrize("gain_db", [0.0, -6.0])
def test_gain_is_applied_to_what_is_held_back(gain_db):
    joiner = Joiner(gain_db, crossfade_seconds=0.01)
    factor = np.float32(10 ** (gain_db / 20))
    parts = [joiner.add(np.ones(2400, np.float32), 0.0, True)[0], joiner.finish(0.001)]
    np.testing.assert_array_equal(np.concatenate(parts), [*np.full(2400, factor), *np.zeros(24)])
