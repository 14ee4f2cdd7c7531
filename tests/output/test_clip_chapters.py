"""Chapters of a clip: where they begin and end in its sound, whatever is silent, and what they are called."""

from __future__ import annotations

import numpy as np
from fakes import VOICE, Recorder, recipe_of, whole_clips
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.audio.chapters import Chapter
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_chapters import chapter_titles, chapters_of, chapters_of_segments
from bark_infinity.run.clips import Clip
from bark_infinity.run.planning import ClipPlan, plan_clips
from bark_infinity.text.script import parse_script

LENGTH, GAP = 96_000, 48_000  # samples of each segment of a Recorder, and between chapters


def planned(text: str) -> ClipPlan:
    (clip,), _ = plan_clips([parse_script(text, "dialogue")], resolve(Options(split_each_text_prompt_by="line")), 5)
    return clip


def finished(text: str, silent: frozenset[str] = frozenset()) -> Clip:
    (whole,) = whole_clips(recipe_of(Recorder(silent), VOICE, check_segments="off"), [planned(text)])
    return whole.clip


def test_text_without_headings_has_no_chapters():
    assert chapters_of(finished("s0"), "s0") == []
    assert chapter_titles(planned("s0"), "s0") == ["s0"]


def test_chapters_begin_with_their_first_segments_and_fill_the_clip():
    clip = finished("# One\ns0\n# Two\ns1\n\ns2\n# Three\ns3")
    starts = [clip.segments[k].span.start for k in (0, 1, 3)]
    assert starts == [0, LENGTH + GAP, clip.samples - LENGTH]
    assert chapters_of(clip, "x") == [
        Chapter("One", 0, starts[1]),
        Chapter("Two", starts[1], starts[2]),
        Chapter("Three", starts[2], clip.samples),
    ]


def test_text_before_the_first_heading_is_a_chapter_with_the_title_of_the_clip():
    clip = finished("s0\n# One\ns1")
    assert [one.title for one in chapters_of(clip, "The Book")] == ["The Book", "One"]


def test_silence_before_the_first_segment_belongs_to_the_first_chapter():
    clip = finished("[pause:2s]\n# One\ns0\n# Two\ns1")
    assert clip.segments[0].span.start == 48_000 and chapters_of(clip, "x")[0].start == 0


def test_two_chapters_of_the_same_title_stay_two():
    text = "# Sonnet\ns0\n# Sonnet\ns1\n# Sonnet\ns2"
    assert chapters_of_segments(planned(text).segments) == [0, 1, 2]
    assert len(chapters_of(finished(text), "x")) == 3


def test_silent_first_chapter_is_left_out():
    clip = finished("# One\ns0\n# Two\ns1", frozenset({"s0"}))
    assert chapters_of(clip, "x") == [Chapter("Two", 0, clip.samples)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from("#s!"), min_size=1, max_size=12))
def test_chapters_follow_each_other_without_a_gap(kinds):
    """`#`: a heading; `s`: a segment; `!`: a segment that stays silent."""
    lines = [f"# Chapter {k}" if kind == "#" else f"s{k}" for k, kind in enumerate(kinds)]
    if "s" not in kinds:
        return
    silent = frozenset(line for line, kind in zip(lines, kinds, strict=True) if kind == "!")
    clip = finished("\n\n".join(lines), silent)
    found = chapters_of(clip, "x")
    if "#" not in kinds or all(segment.chapter is None for segment in clip.plan.segments):
        assert found == []
        return
    assert [one.start for one in found] == [0, *(one.stop for one in found[:-1])] and found[-1].stop == clip.samples
    assert all(one.start < one.stop for one in found)
    titles = chapter_titles(clip.plan, "x")
    assert [one.title for one in found] == [title for title in titles if title in {own.title for own in found}]
    first = {clip.plan.segments[k].chapter: clip.segments[k].span.start for k in reversed(range(len(clip.segments)))}
    assert all(one.start == first.get(one.title, 0) for one in found[1:])
    assert np.all(np.diff(chapters_of_segments(clip.plan.segments)) <= 1)
