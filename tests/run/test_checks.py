"""--check_segments: faulty segments are detected, reported, and replaced by a retry when asked for."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import Recorder, WholeClip, whole_clips
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bark_infinity.bark import Bark, Generation, Segment, Settings
from bark_infinity.cli import speak
from bark_infinity.cli.console import FaultReport
from bark_infinity.cli.main import main
from bark_infinity.errors import UsageError
from bark_infinity.model.sampling import RowRandom
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.remaking import plan_again
from bark_infinity.run.checks import SegmentChecks
from bark_infinity.run.clips import FinishedSegment
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.recipe import Recipe
from bark_infinity.run.scheduler import Scheduler
from bark_infinity.run.takes import TakeRules, Try, best_of, describe_take
from bark_infinity.seeds import Seeds, derive_seed
from bark_infinity.stages.fine import FineSettings
from bark_infinity.stages.semantic import SemanticRow, SemanticSettings, generate_semantic
from bark_infinity.voices.voice import Voice

RATE = 24_000
LINE = "This is a line of a story, number {}, that a reader would take some eight seconds to say to those who listen."
TEXTS = [LINE.format(k) for k in range(4)]  # 110 characters each: 7.8 s
EMPTY = Voice(np.zeros(0, int), np.zeros((2, 0), int), np.zeros((8, 0), int))


def voice(seconds: float, seed: int = 0) -> Voice:
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 1024, (8, round(seconds * 75)))
    return Voice(rng.integers(0, 10_000, round(seconds * 49.9)), fine[:2], fine)


def noise(seconds: float, loudness: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (loudness * rng.choice([-1.0, 1.0], round(seconds * RATE))).astype(np.float32)


def faults(audio: np.ndarray, text: str | None = None, own: Voice | None = None, ended: bool = True, **limits) -> dict:
    own = voice(len(audio) / RATE) if own is None else own
    return SegmentChecks(**limits).faults(audio, own, text, ended)


# ---- faults, computed by hand ---------------------------------------------------------------------------------------


def test_speech_has_no_fault():
    assert faults(noise(8.0), TEXTS[0]) == {}


def test_empty_segment_has_only_the_empty_fault():
    assert faults(np.zeros(0, np.float32), TEXTS[0], EMPTY) == {"empty_s": 0.0}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_samples_are_a_percentage(bad):
    audio = noise(1.0)
    audio[:240] = bad
    assert faults(audio) == {"not_finite_percent": 1.0}
    audio[:] = bad
    assert faults(audio) == {"not_finite_percent": 100.0, "quiet_dbfs": -200.0}


def test_loudness_is_in_decibels_of_full_scale():
    assert faults(noise(1.0, 0.001_01)) == {}
    assert faults(noise(1.0, 0.000_1)) == {"quiet_dbfs": pytest.approx(-80.0, abs=1e-3)}
    assert faults(noise(1.0, 0.0)) == {"quiet_dbfs": -200.0}
    assert faults(noise(1.0, 0.1), min_loudness_db=-19.0) == {"quiet_dbfs": pytest.approx(-20.0, abs=1e-3)}


def test_clipped_samples_are_a_percentage():
    audio = noise(1.0)
    audio[:240] = 1.0
    assert faults(audio) == {}
    audio[240] = -3.0
    assert faults(audio) == {"clipped_percent": round(100 * 241 / RATE, 4)}
    assert faults(audio, max_clipped_percent=2.0) == {}


def test_repeated_tokens_are_measured_in_seconds():
    """In 10 s, 100 of 499 tokens are 2.004 s, and 150 of 750 frames 2 s."""
    own = voice(10.0)
    own.semantic[50:150] = 7
    assert faults(noise(10.0), None, own) == {"repeated_s": round(10 * 100 / 499, 4)}
    assert faults(noise(10.0), None, own, max_repeat_s=2.1) == {}
    own = voice(10.0)
    own.fine[:, 100:250] = 7
    assert faults(noise(10.0), None, own) == {}
    own.fine[:, 250] = 7
    assert faults(noise(10.0), None, own) == {"repeated_s": round(151 / 75, 4)}
    own.fine[3, 200] = 8  # a frame repeats only if all its codes do
    assert faults(noise(10.0), None, own) == {}


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_longest_run_equals_a_plain_count(tokens):
    longest = run = 1
    for before, token in zip(tokens, tokens[1:], strict=False):
        run = run + 1 if token == before else 1
        longest = max(longest, run)
    own = Voice(np.array(tokens), np.zeros((2, 0), int), voice(1.0).fine)
    found = faults(noise(1.0), None, own, max_repeat_s=0.0)["repeated_s"]
    assert found == pytest.approx(max(longest / len(tokens), 1 / 75), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "seconds", "found"),
    [
        ("a" * 140, 10.0, {}),  # estimated at 10 s
        ("a" * 140, 25.0, {}),
        ("a" * 140, 25.1, {"too_long_ratio": 2.51}),
        ("a" * 140, 4.0, {}),
        ("a" * 140, 3.9, {"too_short_ratio": 0.39}),
        ("a" * 14, 3.9, {}),  # 1 s plus the tolerance of 3 s
        ("a" * 14, 4.1, {"too_long_ratio": 4.1}),
        ("a" * 42, 0.1, {}),
        ("字" * 27, 2.0, {"too_short_ratio": 0.3333}),  # 6 s
        ("[laughs]", 9.0, {}),
        ("[laughs] " + "a" * 14, 9.0, {}),  # the length of a laugh is unknown
        ("♪ " + "a" * 42 + " ♪", 12.0, {}),
        ("[laughs] " + "a" * 140, 3.0, {"too_short_ratio": 0.3}),
        ("", 9.0, {}),
        (None, 9.0, {}),
    ],
)
def test_length_is_compared_with_the_estimate_for_the_text(text, seconds, found):
    assert faults(noise(seconds), text) == found


def test_length_limits_are_configurable():
    assert faults(noise(8.0), "a" * 14, max_length_ratio=8.0) == {}
    assert faults(noise(3.0), "a" * 140, min_length_ratio=0.2) == {}


def test_missing_end_of_speech_is_a_fault_when_expected():
    assert faults(noise(8.0), TEXTS[0], ended=False) == {"no_end_s": 8.0}
    assert faults(noise(8.0), None, ended=False) == {}
    assert faults(noise(15.4), "Hello", ended=False, ends=False) == {}  # --confused_travolta_mode


def test_segment_cut_by_the_duration_limit_is_not_too_short():
    assert faults(noise(0.3), TEXTS[0], longest_s=0.3) == {}
    assert "too_short_ratio" in faults(noise(0.3), TEXTS[0], longest_s=7.0)


def test_given_tokens_are_only_checked_for_audio_faults():
    own = voice(8.0)
    own.semantic[:], own.fine[:] = 3, 3
    checks = SegmentChecks()
    assert checks.faults(noise(8.0), own, "Hello", False, given=True) == {}
    assert set(checks.faults(noise(8.0, 2.0), own, "Hello", False, given=True)) == {"clipped_percent"}


def test_checks_are_built_from_the_options():
    assert SegmentChecks.from_options(resolve(Options(check_segments="off"))) is None
    assert SegmentChecks.from_options(resolve(Options())) == SegmentChecks()
    assert SegmentChecks.from_options(resolve(Options(check_segments="retry"))).retries == 2
    how = resolve(Options(semantic_max_gen_duration_s=2.0, confused_travolta_mode=True))
    assert SegmentChecks.from_options(how) == SegmentChecks(ends=False, longest_s=2.0)


@pytest.mark.parametrize(
    "options",
    [{"retries": 3}, {"retries": 3, "check_segments": "off"}, {"check_segments": "off", "check_max_repeat_s": 1.0}],
)
def test_check_flags_without_effect_are_refused(options):
    with pytest.raises(UsageError, match="does nothing"):
        resolve(Options(**options))


# ---- the best of several --------------------------------------------------------------------------------------------

WORST_FIRST = [
    {"empty_s": 0.0},
    {"not_finite_percent": 2.0, "clipped_percent": 90.0},
    {"not_finite_percent": 1.0},
    {"quiet_dbfs": -90.0},
    {"quiet_dbfs": -70.0},
    {"no_end_s": 15.4, "too_long_ratio": 6.0},
    {"no_end_s": 15.4},
    {"too_short_ratio": 0.1},
    {"too_short_ratio": 0.3},
    {"too_long_ratio": 4.0, "repeated_s": 3.0},
    {"too_long_ratio": 4.0, "clipped_percent": 3.0},
    {"too_long_ratio": 4.0},
    {"repeated_s": 3.0},
    {"clipped_percent": 3.0},
    {"clipped_percent": 2.0},
    {},
]


@given(st.permutations(WORST_FIRST), st.integers(1, len(WORST_FIRST)))
def test_best_try_has_the_least_serious_faults(shuffled, n):
    tries = [Try(Seeds(k), faults) for k, faults in enumerate(shuffled[:n])]
    assert tries[best_of(tries)].faults == max(shuffled[:n], key=WORST_FIRST.index)


def test_first_of_equal_tries_is_kept():
    assert best_of([Try(Seeds(k), {"no_end_s": 15.4}) for k in range(3)]) == 0


@pytest.mark.parametrize("faults", [None, {}, {"quiet_dbfs": -71.25, "clipped_percent": 0.1}])
def test_try_survives_a_json_round_trip(faults):
    one = Try(Seeds(3, coarse=0), faults)
    assert Try.of(json.loads(json.dumps(one.content()))) == one


@pytest.mark.parametrize(
    "content", [{}, {"seeds": {}, "faults": {"odd": 1}}, {"seeds": {"x": 1}, "faults": {}}, {"seeds": {}, "faults": 3}]
)
def test_invalid_try_content_is_refused(content):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Try.of(content)


def test_every_fault_has_a_description():
    for faults in WORST_FIRST[:-1]:
        words = Try(Seeds(1), faults).describe()
        assert words.count(", ") >= len(faults) - 1 and "{" not in words
    quiet, good = Try(Seeds(1), {"quiet_dbfs": -71.2}), Try(Seeds(2), {})
    assert describe_take([good], 0) is describe_take([Try(Seeds(1), None)], 0) is None
    assert "-71 dBFS" in describe_take([quiet], 0) and "take 2 has no fault" in describe_take([quiet, good], 1)
    assert "take 1, the best of 2" in describe_take([quiet, Try(Seeds(2), {"empty_s": 0.0})], 0)
    assert describe_take([quiet, good], 1, TakeRules(candidates=2)) is None  # both were asked for


# ---- engines with deliberate faults ---------------------------------------------------------------------------------

ApplyFault = Callable[[Generation], Generation]


def change(generation: Generation, audio: np.ndarray, **more) -> Generation:
    return dataclasses.replace(generation, audio=audio, voice=voice(len(audio) / RATE, 9), **more)


def with_nan(generation: Generation) -> Generation:
    audio = generation.audio.copy()
    audio[1000:2000] = np.nan
    return dataclasses.replace(generation, audio=audio)


def repeating(generation: Generation) -> Generation:
    return dataclasses.replace(generation, voice=dataclasses.replace(generation.voice, semantic=np.full(400, 5)))


FAULTS_TO_APPLY: dict[str, ApplyFault] = {
    "empty_s": lambda generation: dataclasses.replace(generation, audio=np.zeros(0, np.float32), voice=EMPTY),
    "not_finite_percent": with_nan,
    "quiet_dbfs": lambda generation: dataclasses.replace(generation, audio=generation.audio * np.float32(1e-5)),
    "no_end_s": lambda generation: dataclasses.replace(generation, ended=False),
    "too_short_ratio": lambda generation: change(generation, noise(1.0)),
    "too_long_ratio": lambda generation: change(generation, noise(21.0)),
    "repeated_s": repeating,
    "clipped_percent": lambda generation: dataclasses.replace(generation, audio=generation.audio * np.float32(20)),
}


class FaultyEngine(Recorder):
    """An engine with deliberate faults: `plan` maps a text to the faults of each of its tries ("" for none).

    Its output depends only on text and seeds. Tries beyond the plan have no fault.
    """

    name, identity, stages = "fake", "fake", {}

    def __init__(self, plan: Mapping[str, Sequence[str]], first: int = 5):
        super().__init__()
        self.plan, self.first = plan, first
        self.tried: list[tuple[str, int]] = []  # text, number of the try
        self.histories: dict[str, np.ndarray] = {}
        self.sounds: dict[bytes, np.ndarray] = {}

    def stream(self, segments: Sequence[Segment], *_) -> Iterator[tuple[int, Generation]]:
        self.batches.append([segment.text for segment in segments])
        for place, segment in enumerate(segments):
            number = [derive_seed(self.first, "retry", n) for n in range(9)].index(segment.seeds.segment)
            self.tried.append((segment.text, number))
            self.histories[segment.text] = segment.history.semantic
            generation = self.make(segment.text, number)
            self.sounds[generation.voice.fine.tobytes()] = generation.audio
            yield place, generation

    def make(self, text: str, number: int) -> Generation:
        seed = 100 * TEXTS.index(text) + number
        generation = Generation(voice(8.0, seed), noise(8.0, 0.1, seed), 0, {"semantic": 0.1})
        names = [*self.plan.get(text, ()), *[""] * 9]
        for name in names[number].split():
            generation = FAULTS_TO_APPLY[name](generation)
        return generation

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self.sounds[one.tobytes()] for one in codes]


HOW = {"check_segments": "retry", "split_each_text_prompt_by": "line", "seed": 5}


def clip_of(bark: FaultyEngine, n: int = 4, rows: int = 4, given: Voice | None = None, **options) -> WholeClip:
    recipe = Recipe.from_options(resolve(Options(**HOW | options)), bark, given)
    plans = plan_clips(["\n".join(TEXTS[:n])], resolve(Options(**HOW)), 0)[0]
    (clip,) = whole_clips(recipe, plans, rows)
    return clip


@pytest.mark.parametrize("name", FAULTS_TO_APPLY)
def test_every_fault_is_detected_and_retried_with_the_next_seed(name):
    bark = FaultyEngine({TEXTS[1]: [name]})
    segment = clip_of(bark).clip.segments[1]
    assert [set(one.faults) for one in segment.tries] == [{name}, set()]
    assert [one.seeds.segment for one in segment.tries] == [5, derive_seed(5, "retry", 1)]
    assert segment.kept is segment.tries[1]
    assert bark.tried == [(TEXTS[0], 0), *((text, 0) for text in TEXTS[1:]), (TEXTS[1], 1)]


@pytest.mark.parametrize("name", FAULTS_TO_APPLY)
def test_warn_does_not_retry_and_off_does_not_check(name, monkeypatch):
    bark = FaultyEngine({TEXTS[1]: [name]})
    clip = clip_of(bark, check_segments="warn")
    assert [set(segment.kept.faults) for segment in clip.clip.segments] == [set(), {name}, set(), set()]
    assert len(bark.tried) == 4
    monkeypatch.setattr(SegmentChecks, "faults", None)
    off = clip_of(FaultyEngine({TEXTS[1]: [name]}), check_segments="off")
    assert {segment.kept.faults for segment in off.clip.segments} == {None}
    np.testing.assert_array_equal(off.audio, clip.audio)


@pytest.mark.parametrize("retries", [1, 2, 3])
def test_best_try_is_kept_when_all_are_faulty(retries):
    bark = FaultyEngine({TEXTS[0]: ["empty_s", "clipped_percent repeated_s", "clipped_percent", "quiet_dbfs"]})
    segment = clip_of(bark, 1, retries=retries).clip.segments[0]
    best = min(retries, 2)
    assert len(segment.tries) == retries + 1 and segment.kept is segment.tries[best]
    assert segment.seconds_taken == {"semantic": pytest.approx(0.1 * (retries + 1))}
    clip = clip_of(FaultyEngine(bark.plan), 1, retries=retries)
    np.testing.assert_array_equal(clip.audio, bark.make(TEXTS[0], best).audio)


@pytest.mark.parametrize("interval", [0, 1, 2])
@pytest.mark.parametrize("given", [None, voice(8.0, 77)])
def test_history_of_later_segments_is_the_kept_try_in_any_batch(interval, given):
    faulty_tries = {TEXTS[0]: ["no_end_s"], TEXTS[1]: ["quiet_dbfs", "empty_s", "clipped_percent"]}
    clips, barks = [], [FaultyEngine(faulty_tries) for _ in range(3)]
    for rows, bark in zip((1, 2, 4), barks, strict=True):
        clips.append(clip_of(bark, rows=rows, given=given, stable_mode_interval=interval))
    for clip, bark in zip(clips, barks, strict=True):
        np.testing.assert_array_equal(clip.audio, clips[0].audio)
        assert [len(segment.tries) for segment in clip.clip.segments] == [2, 3, 1, 1]
        assert bark.histories.keys() == set(TEXTS)
        for text in TEXTS:
            np.testing.assert_array_equal(bark.histories[text], barks[0].histories[text])
    if interval == 0:
        np.testing.assert_array_equal(barks[0].histories[TEXTS[1]], barks[0].make(TEXTS[0], 1).voice.semantic[-256:])
        np.testing.assert_array_equal(barks[0].histories[TEXTS[2]], barks[0].make(TEXTS[1], 2).voice.semantic[-256:])


def test_other_segments_continue_beside_a_retry():
    bark = FaultyEngine({TEXTS[0]: ["no_end_s"]})
    clip_of(bark, given=voice(8.0), rows=2)
    clip_of(bark_of_one := FaultyEngine({TEXTS[0]: ["no_end_s"]}), given=voice(8.0), rows=1)
    assert bark.batches == [TEXTS, [TEXTS[0]]] and len(bark_of_one.batches) == 5


def test_no_retry_when_seeds_cannot_change_the_result():
    fixed = {"semantic_seed": 1, "coarse_seed": 2, "fine_seed": 3}
    greedy = {"semantic_temp": 0.0, "coarse_temp": 0.0, "fine_temp": 0.0}
    for how, tries in ((fixed, 1), (greedy, 1), (fixed | {"fine_seed": None}, 3), (greedy | {"fine_temp": 0.5}, 3)):
        options = resolve(Options(**HOW | how))
        bark = FaultyEngine({TEXTS[0]: ["no_end_s"] * 9})
        (clip,) = whole_clips(Recipe.from_options(options, bark), plan_clips([TEXTS[0]], options, 0)[0])
        assert len(clip.clip.segments[0].tries) == tries


# ---- manifests and journals -----------------------------------------------------------------------------------------

OUT = Path("out")
STORY = "\n".join(TEXTS)


def save(bark, folder: Path = OUT, again: dict | None = None, stop_after: int | None = None, **options) -> Path | None:
    """Run as the command line does; the manifest of the clip, or None if stopped after `stop_after` segments."""
    options = {"text_prompt": STORY} | HOW | options if again is None else again | options
    resolved = resolve(Options(model="demo", **options | {"output_dir": str(folder), "batch_size": 2}))
    results = Job(resolved, ClipSource(resolved), Recipe.from_options(resolved, bark)).run()
    for k, result in enumerate(results):
        if stop_after is not None and k + 1 == stop_after:
            results.close()
            return None
        last = result
    return last.path.with_suffix(".json")


def content(manifest: Path) -> dict:
    return json.loads(manifest.read_text())


FAULTY_TRIES = {TEXTS[0]: ["empty_s"], TEXTS[2]: ["quiet_dbfs", "too_long_ratio", "clipped_percent no_end_s"]}


def test_manifest_records_faults_and_tries():
    segments = content(save(FaultyEngine(FAULTY_TRIES)))["segments"]
    seeds = [{"segment": derive_seed(5, "retry", n)} for n in range(3)]
    assert [segment["seeds"] for segment in segments] == [seeds[1], seeds[0], seeds[1], seeds[0]]
    assert [set(segment["faults"]) for segment in segments] == [set(), set(), {"too_long_ratio"}, set()]
    assert ["tries" in segment for segment in segments] == [True, False, True, False]
    assert [(one["seeds"], one["faults"]) for one in segments[0]["tries"]] == [
        (seeds[0], {"empty_s": 0.0}),
        (seeds[1], {}),
    ]
    assert [one["seconds"] for one in segments[0]["tries"]] == [0.0, 8.0] and segments[0]["take"] == 2
    assert [set(one["faults"]) for one in segments[2]["tries"]] == [
        {"quiet_dbfs"}, {"too_long_ratio"}, {"clipped_percent", "no_end_s"}
    ]  # fmt: skip
    assert segments[2]["tries"][0]["faults"]["quiet_dbfs"] == pytest.approx(-120, abs=0.01)
    assert "faults" not in content(save(FaultyEngine({}), Path("off"), check_segments="off"))["segments"][0]


def test_manifest_reproduces_the_kept_tries():
    """Also a faulty one: it is not retried with new seeds."""
    first = save(FaultyEngine(FAULTY_TRIES))
    bark = FaultyEngine(FAULTY_TRIES)
    manifest = read_manifest(str(first))
    options = dataclasses.replace(manifest.options, from_manifest=str(first))
    clip_plan = plan_again(manifest, options)
    (clip,) = whole_clips(Recipe.from_options(options, bark), [clip_plan])
    assert clip.clip.audio_sha256 == content(first)["audio_sha256"]
    assert [number for _, number in sorted(bark.tried)] == [1, 0, 1, 0]


@pytest.mark.parametrize("interval", [0, 1])
def test_resumed_run_gives_the_same_clip_without_repeating_segments(interval):
    whole = content(save(FaultyEngine(FAULTY_TRIES), Path("whole"), stable_mode_interval=interval))
    for stop in (1, 2, 3):
        folder, bark = Path(f"stopped_{stop}"), FaultyEngine(FAULTY_TRIES)
        assert save(bark, folder, stop_after=stop, stable_mode_interval=interval) is None
        finished = len(list(folder.glob("*.partial/segments/*.npz")))
        assert finished >= stop
        before = len(bark.tried)
        resumed = content(save(bark, folder, stable_mode_interval=interval))
        assert resumed["audio_sha256"] == whole["audio_sha256"]
        for one, other in zip(resumed["segments"], whole["segments"], strict=True):
            assert {**one, "seconds_taken": 0} == {**other, "seconds_taken": 0}
        assert len(bark.tried) == len(set(bark.tried)) and len(bark.tried) - before == 7 - finished  # of all tries


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"check_segments": "warn"}, {}),
        ({}, {"check_segments": "warn"}),
        ({"retries": 1}, {"retries": 3}),
        ({}, {"check_min_loudness_db": -150.0}),
        ({"check_max_length_ratio": 9.0}, {}),
        ({"check_segments": "off"}, {"check_max_clipped_percent": 0.5}),
    ],
)
def test_resuming_with_other_checks_equals_a_fresh_run_with_them(before, after):
    """Saved segments are checked again; those without a fault under either setting are not regenerated."""
    bark, apart = FaultyEngine(FAULTY_TRIES), {"separate_prompts": True}
    assert save(bark, stop_after=4, **apart, **before) is None
    n = len(bark.tried)
    resumed = content(save(bark, **apart, **after))
    whole = content(save(FaultyEngine(FAULTY_TRIES), Path("whole"), **apart, **after))
    assert resumed["audio_sha256"] == whole["audio_sha256"]
    for one, other in zip(resumed["segments"], whole["segments"], strict=True):
        assert (one["seeds"], one.get("faults"), one.get("tries")) == (
            other["seeds"],
            other.get("faults"),
            other.get("tries"),
        )
    assert {text for text, _ in bark.tried[n:]} <= FAULTY_TRIES.keys()


# ---- on a real (tiny) model, and on the command line ----------------------------------------------------------------


def test_generation_says_whether_speech_ended(bark: Bark):
    """The tiny model wants to end after 73 tokens."""
    segment = Segment("Hello there.", seeds=Seeds(1))
    for early_stop, seconds, ended in ((True, None, True), (False, 0.2, True)):
        how = SemanticSettings(temperature=0.0, allow_early_stop=early_stop, max_gen_duration_s=seconds)
        (generation,) = bark.generate([segment], Settings(semantic=how, fine=FineSettings(0.0)))
        assert generation.ended is ended and len(generation.voice.semantic) < 200


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("statistics", [True, False])
def test_full_window_is_not_an_end_of_speech(bark: Bark, ends, statistics):
    """A window of 40 tokens, which the tiny model fills whether it may stop early or not."""
    stage = bark.stages["semantic"]
    spec = dataclasses.replace(stage.spec, max_semantic_tokens=40)
    how = SemanticSettings(temperature=0.0, allow_early_stop=ends, statistics=statistics)
    (result,) = generate_semantic(stage.model, spec, [SemanticRow([5, 6], np.zeros(0, int), RowRandom(1), how)])
    assert len(result.tokens) == 40 and not result.ended


@pytest.fixture
def perform(capfd, monkeypatch, demo):
    """Run a command line on the demo model, loaded once: (exit status, stdout lines, stderr on one line)."""
    monkeypatch.setattr("bark_infinity.bark.Bark", lambda _: demo)
    monkeypatch.setattr("bark_infinity.checkpoints.loading.load_models", lambda _: None)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        status = main(["--model", "demo", "--device", "cpu", "--fine_temp", "0", *arguments])
        out, error = capfd.readouterr()
        return status, out.splitlines(), " ".join(error.split())

    return run


SHORT = ("--semantic_max_gen_duration_s", "0.3", "--text_prompt", "One.\nTwo.\nThree.", "--seed", "3")
LINES = ("--split_each_text_prompt_by", "line")
LOUD = ("--check_min_loudness_db", "0")  # a threshold that no segment reaches


def test_faults_are_reported_and_counted(perform):
    _, _, error = perform(*SHORT, *LINES)
    assert "faults" not in error
    status, _, error = perform(*SHORT, *LINES, *LOUD)
    assert status == 0 and error.count("dBFS") == 3 and error.count("faults in 3 of 3 segments") == 1
    assert "--check_segments retry" in error


def test_retried_clip_is_reproduced_bit_for_bit_from_its_manifest(perform):
    status, (wav,), error = perform(*SHORT, *LINES, *LOUD, "--check_segments", "retry", "--retries", "3")
    assert status == 0 and error.count("the best of 4") == error.count("dBFS") == 3
    resumed = content(Path(wav).with_suffix(".json"))
    for segment in resumed["segments"]:
        tries = segment["tries"]
        assert len(tries) == 4 and len({one["seeds"]["segment"] for one in tries}) == 4
        loudest = max(tries, key=lambda one: one["faults"]["quiet_dbfs"])
        assert (loudest["seeds"], loudest["faults"]) == (segment["seeds"], segment["faults"])
    status, (again,), error = perform("--from_manifest", str(Path(wav).with_suffix(".json")))
    assert "bit for bit" in error and "tries" not in content(Path(again).with_suffix(".json"))["segments"][0]


def test_report_is_limited_to_some_faulty_segments_and_counts_all(perform, monkeypatch):
    monkeypatch.setattr(speak, "_MOST_FAULTY_SHOWN", 2)
    _, _, error = perform(*SHORT, *LINES, *LOUD, "--check_segments", "retry", "--retries", "1")
    assert error.count("dBFS") == 2 and "3 of 3 segments" in error


@pytest.mark.parametrize("checks", ["warn", "off"])
def test_silent_segment_is_reported_once_whatever_the_checks(checks):
    shown = Console(file=io.StringIO(), width=500)
    report = FaultReport(shown, 20, retried=False, rules=TakeRules())
    options = resolve(Options(**HOW | {"check_segments": checks}))
    recipe = Recipe.from_options(options, FaultyEngine({TEXTS[0]: ["empty_s"]}))
    for placed in Scheduler(recipe).run(plan_clips(["\n".join(TEXTS[:2])], options, 0)[0]):
        if isinstance(placed, FinishedSegment):
            speak._warn_of(placed, "here", shown)
            report.add("here", placed.record)
    assert shown.file.getvalue().count("ended the speech at once") == 1
