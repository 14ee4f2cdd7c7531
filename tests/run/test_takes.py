"""Several takes of a segment: the best is kept, later segments go on from it, and a killed run chooses as a whole one does."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import speaker
from fakes import Listening, whole_clips
from hypothesis import given, settings
from hypothesis import strategies as st
from speaker import HEARD, HOW, SECONDS, TEXTS, Speaker, recipe_without_voices, run_to_end

from bark_infinity import narrate
from bark_infinity.bark import Generation, Segment
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.clips import FailedClip
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.recognition import Listener, Recognizer
from bark_infinity.run.takes import TakeRules, Try, best_of, describe_take
from bark_infinity.run.trimming import Trim
from bark_infinity.seeds import Seeds, derive_seed
from bark_infinity.text.word_errors import WordErrors

OUT = Path("out")


def clip_of(engine: Speaker, n: int = 4, rows: int = 4, listener: Recognizer | None = None, **options):
    resolved = resolve(Options(**HOW | options))
    recipe = recipe_without_voices(resolved, engine)
    if options.get("recognizer", "off") != "off":
        recipe = dataclasses.replace(recipe, recognizer=listener or Listening(engine.words_of))
    (clip,) = whole_clips(recipe, plan_clips(["\n".join(TEXTS[:n])], resolved, 0)[0], rows)
    assert not isinstance(clip, FailedClip), clip
    return clip


WRONG = "The old cat runs home tonight."
TAIL = f"{TEXTS[0]} and then we all went somewhere"


# ---- choosing -------------------------------------------------------------------------------------------------------


def tried(
    faults: dict[str, float] | None = None, wrong: int | None = 0, pace: float | None = 1.0, voice: float | None = None
) -> Try:
    errors = None if wrong is None else WordErrors(10, wrong)
    return Try(Seeds(1), faults or {}, 1.0, pace, None, errors, voice_distance=voice)


@pytest.mark.parametrize(
    ("tries", "best"),
    [
        ([tried({"clipped_percent": 9.0}), tried(wrong=9)], 1),  # faults count before word errors
        ([tried(wrong=2, pace=1.0), tried(wrong=1, pace=3.0)], 1),  # which count before the pace
        ([tried(pace=1.5), tried(pace=0.8), tried(pace=1.0)], 2),
        ([tried(pace=2.0), tried(pace=0.5)], 0),  # equally far
        ([tried(pace=1.01, voice=3.0), tried(pace=1.02, voice=0.5)], 1),  # both in units of what is usual
        ([tried(pace=0.7, voice=0.5), tried(pace=1.0, voice=0.7)], 1),
        ([tried(wrong=1, voice=0.5), tried(voice=3.0)], 1),
        ([tried(), tried()], 0),
        ([tried(wrong=None), tried(wrong=5)], 1),  # what nobody listened to is not known to be better
    ],
)
def test_takes_are_ranked_by_faults_then_word_errors_then_pace_and_voice(tries, best):
    assert best_of(tries) == best


def test_take_survives_a_json_round_trip():
    take = Try(Seeds(3, coarse=0), {}, 1.25, 0.9, "what was heard", WordErrors(5, 1, 2, 3, 1), Trim(90, 120), 1.5)
    assert Try.of(json.loads(json.dumps(take.content()))) == take


def test_cut_end_counts_for_the_rank_but_not_for_passing():
    errors = WordErrors(5, invented=3, invented_at_end=3)
    cut = dataclasses.replace(tried(), word_errors=errors, trim=Trim(1, 2))
    rules = TakeRules(max_word_errors=0.1)
    assert rules.passes(cut) and not rules.passes(dataclasses.replace(cut, trim=None))
    assert best_of([cut, tried()]) == 1


def test_warning_names_invented_speech_at_the_end():
    take = dataclasses.replace(tried(), word_errors=WordErrors(4, 1, 0, 5, 4), heard="a b x d y we went home")
    assert "invented speech at the end (4 words)" in str(describe_take([take], 0))
    told = str(describe_take([take], 0, TakeRules(max_word_errors=0.2)))
    assert "of 4 words 1 wrong, 1 invented" in told and "we went home" in told
    assert describe_take([dataclasses.replace(take, trim=Trim(1, 2))], 0) is None


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_best_candidate_is_kept_and_later_segments_go_on_from_it(rows):
    said = {TEXTS[0]: [WRONG, TEXTS[0]], TEXTS[1]: [WRONG, WRONG, TEXTS[1]]}
    engine = Speaker(said)
    clip = clip_of(engine, rows=rows, candidates=3, stable_mode_interval=0, **HEARD)
    assert [segment.chosen for segment in clip.clip.segments] == [1, 2, 0, 0]
    assert sorted(engine.made) == sorted((text, take) for text in TEXTS for take in range(3))
    for before, after, take in ((0, 1, 1), (1, 2, 2), (2, 3, 0)):
        semantic = engine.histories[TEXTS[after]].semantic
        np.testing.assert_array_equal(semantic, engine.semantic[TEXTS[before], take][-len(semantic) :])
    segment = clip.clip.segments[0]
    assert segment.seconds_taken == {"semantic": pytest.approx(0.3)}  # of all takes
    assert [one.word_errors.rate > 0 for one in segment.tries] == [True, False, False]


def test_candidates_fill_the_batch():
    engine = Speaker()
    clip_of(engine, rows=2, candidates=3, separate_prompts=True)
    assert [len(batch) for batch in engine.batches] == [4, 4, 4]  # of twice the rows, as without candidates


def test_each_take_of_a_model_is_what_it_would_be_alone(demo):
    brief = Options(semantic_max_gen_duration_s=0.3, fine_temp=0.0, split_each_text_prompt_by="line")
    together = list(
        narrate(demo, "One.\nTwo.", seed=3, options=brief.with_settings({"candidates": 3, "keep_takes": True}))
    )
    first = together[0]  # the second segment goes on from the chosen one
    takes = {first.record.chosen: first.voice, **first.other_takes}
    for take in range(3):
        alone = narrate(demo, "One.\nTwo.", seed=derive_seed(3, "retry", take), options=brief)
        assert takes[take].digest() == next(iter(alone)).voice.digest()


@pytest.mark.parametrize("options", [{}, HEARD, {"stable_mode_interval": 0}])
def test_first_candidate_is_what_a_run_without_the_flag_makes(options):
    alone = clip_of(Speaker(), **options)
    several = clip_of(Speaker(), candidates=3, **options)
    np.testing.assert_array_equal(several.audio, alone.audio)  # all are equally good, so the first is kept
    assert [len(segment.tries) for segment in several.clip.segments] == [3] * 4


def test_takes_that_would_not_differ_are_made_once():
    greedy = {"semantic_temp": 0.0, "coarse_temp": 0.0, "fine_temp": 0.0}
    engine = Speaker()
    clip_of(engine, candidates=3, **greedy)
    assert len(engine.made) == 4


def test_further_takes_are_made_only_where_none_passes():
    engine = Speaker({TEXTS[0]: [WRONG, WRONG, TEXTS[0]], TEXTS[1]: [WRONG] * 9, TEXTS[2]: [TEXTS[2]]})
    clip = clip_of(engine, max_word_errors=0.1, retries=2, **HEARD)
    assert [len(segment.tries) for segment in clip.clip.segments] == [3, 3, 1, 1]
    assert [segment.chosen for segment in clip.clip.segments] == [2, 0, 0, 0]
    engine = Speaker({TEXTS[1]: [WRONG] * 9})
    clip = clip_of(engine, candidates=2, max_word_errors=0.1, retries=3, **HEARD)
    assert [len(segment.tries) for segment in clip.clip.segments] == [2, 5, 2, 2]
    clip = clip_of(Speaker({TEXTS[0]: [WRONG] * 9}), max_word_errors=0.1, check_segments="warn", **HEARD)
    assert [len(segment.tries) for segment in clip.clip.segments] == [1] * 4


def test_wordless_segments_and_other_languages_are_not_listened_to():
    engine = Speaker()
    listener = Listening(engine.words_of)
    listener.languages = frozenset({"de"})
    clip = clip_of(engine, listener=listener, **HEARD)
    assert not listener.heard and clip.clip.segments[0].kept.heard is None


# ---- recognisers that fail ------------------------------------------------------------------------------------------


def test_crash_of_the_recognizer_is_told_once_and_the_run_goes_on(caplog):
    engine = Speaker({TEXTS[0]: [WRONG, TEXTS[0]]})

    def words_of(audio: np.ndarray) -> str:
        if len(listener.heard) == 1:
            raise RuntimeError("no ears")
        return engine.words_of(audio)

    listener = Listening(words_of)
    with caplog.at_level(logging.WARNING):
        clip = clip_of(engine, listener=listener, candidates=2, rows=1, **HEARD)
    assert caplog.text.count("no ears") == 1 and "checks alone" in caplog.text
    assert len(listener.heard) == 1 and clip.clip.segments[0].chosen == 0
    assert [one.word_errors is None for segment in clip.clip.segments for one in segment.tries] == [False, *[True] * 7]


def test_listener_gives_results_in_order_and_drops_the_rest_when_closed():
    listener: Listener[int] = Listener(Listening(lambda audio: str(len(audio))))
    for k in range(3):
        listener.submit(k, np.zeros(k + 1, np.float32), "en")
    found = []
    while listener:
        found += [(k, heard and heard.text.strip()) for k, heard in listener.results(wait_for_one=True)]
    assert found == [(0, "1"), (1, "2"), (2, "3")]
    listener.close()


# ---- cutting what comes after the text ------------------------------------------------------------------------------


def test_invented_end_is_cut_from_audio_voice_and_tokens():
    engine = Speaker({TEXTS[0]: [TAIL]})
    clip = clip_of(engine, trim_babble=True, stable_mode_interval=0, **HEARD)
    first, whole = clip.clip.segments[0].kept, round(SECONDS * 75)
    assert first.trim is not None and first.trim.of_frames == whole
    assert first.trim.frames == pytest.approx(whole * 6 / 12, abs=2)  # 6 of the 12 words are the text's
    voice = clip.generations[0].voice
    assert voice.fine.shape == (8, first.trim.frames) and voice.coarse.shape == (2, first.trim.frames)
    assert len(voice.semantic) == pytest.approx(first.trim.frames / 75 * 49.9, abs=1)
    assert len(clip.generations[0].audio) == 320 * first.trim.frames
    np.testing.assert_array_equal(engine.histories[TEXTS[1]].semantic, voice.semantic[-256:])
    assert all(segment.kept.trim is None for segment in clip.clip.segments[1:])
    untrimmed = clip_of(Speaker({TEXTS[0]: [TAIL]}), **HEARD)
    assert untrimmed.clip.segments[0].frames == whole


@pytest.mark.parametrize("text", ["The red dog runs home [laughs]", "The red dog runs home ♪"])
def test_end_with_a_cue_is_not_cut(text, monkeypatch):
    monkeypatch.setattr(speaker, "TEXTS", [text])
    monkeypatch.setitem(globals(), "TEXTS", [text])
    clip = clip_of(Speaker({text: ["The red dog runs home ha ha ha ha"]}), 1, trim_babble=True, **HEARD)
    assert clip.clip.segments[0].kept.trim is None


def test_nothing_is_cut_where_the_end_of_the_text_was_not_heard():
    clip = clip_of(Speaker({TEXTS[0]: ["the red dog runs away and so on for long"]}), 1, trim_babble=True, **HEARD)
    assert clip.clip.segments[0].kept.trim is None


# ---- runs that are killed -------------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


class Stopping(Speaker):
    """A speaker that is stopped after so many takes."""

    def __init__(self, said: Mapping[str, Sequence[str]], after: int):
        super().__init__(said)
        self.after = after

    def generation(self, text: str, take: int, segment: Segment) -> Generation:
        if len(self.made) > self.after:
            raise Stopped
        return super().generation(text, take, segment)


def content_of(engine: Speaker, folder: Path, **options) -> Mapping[str, object]:
    return json.loads(run_to_end(engine, folder, **options).read_text())


def without_times(manifest: Mapping[str, object]) -> list[Mapping[str, object]]:
    return [{**segment, "seconds_taken": 0} for segment in manifest["segments"]]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from([0, 1]), st.booleans())
def test_killed_run_goes_on_with_the_same_choice_and_makes_no_take_twice(tmp_path_factory, stops, interval, listens):
    said = {TEXTS[0]: [WRONG, TEXTS[0]], TEXTS[1]: [WRONG] * 9, TEXTS[3]: [TEXTS[3], WRONG]}
    how = {"candidates": 2, "retries": 1, "stable_mode_interval": interval}
    if listens:
        how |= {"max_word_errors": 0.1, "keep_takes": True, **HEARD}
    folder = tmp_path_factory.mktemp("takes")
    whole = content_of(Speaker(said), folder / "whole", **how)
    made, sounds = [], {}
    for after in (*stops, 99):
        engine = Stopping(said, after)
        engine.sounds |= sounds  # of takes that are not made again
        try:
            resumed = content_of(engine, folder / "killed", **how)
            break
        except Stopped:
            engine.made.pop()  # which was not made
        finally:
            made += engine.made
            sounds = engine.sounds
    assert resumed["audio_sha256"] == whole["audio_sha256"]
    assert without_times(resumed) == without_times(whole)
    assert len(made) == len(set(made))


def test_what_was_heard_is_not_listened_to_again():
    """A run is killed in its second batch, and another one goes on."""
    how = {"candidates": 2, "separate_prompts": True, **HEARD}
    engine = Stopping({}, 6)
    with pytest.raises(Stopped):
        run_to_end(engine, OUT, **how)
    again = Speaker()
    again.sounds |= engine.sounds
    files = sorted(OUT.glob("*.partial/segments/*.npz"))
    heard = [json.loads(np.load(path)["about"].tobytes()).get("heard") for path in files]
    run_to_end(again, OUT, **how)
    assert len(files) == 6 and len(again.made) == 2 and any(heard)
