"""The history each segment is given, by interval and by weights, compared with the whole voice trimmed by the stages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark_infinity.model.spec import BarkSpec
from bark_infinity.stages.coarse import CoarseSettings, trim_history
from bark_infinity.voices.history import History, HistoryPlan, StageWeights, Weights
from bark_infinity.voices.voice import Voice

SPEC = BarkSpec()
ALIGNMENT_S = 1 / 49.9  # a semantic token: half by rounding, a whole one where a source is used from its start
STAGES = ("semantic", "coarse", "fine")
SHAPES = {"semantic": (0,), "coarse_semantic": (0,), "coarse": (2, 0), "fine": (8, 0)}


def voice(n: int, m: int, first: int = 0) -> Voice:
    """A voice whose tokens count up from `first`, so that a token's value shows its origin."""
    fine = np.arange(8)[:, None] * 10_000 + first + np.arange(m)
    return Voice(first + np.arange(n), fine[:2], fine)


STARTING, PREVIOUS = voice(600, 901), voice(700, 1052, first=5_000)


def history_of(
    plan: HistoryPlan, index: int, starting: Voice | None = STARTING, previous: Voice | None = PREVIOUS
) -> History:
    return plan.weights(index).history(starting, previous, SPEC)


def all_stages(weights: StageWeights, **details) -> HistoryPlan:
    return HistoryPlan(semantic=weights, coarse=weights, fine=weights, **details)


def after_trimming(history: History) -> list[np.ndarray]:
    """The part of a history that each stage keeps: its own window."""
    return [
        history.semantic[max(0, len(history.semantic) - 256) :],
        *trim_history(history.coarse_semantic, history.coarse, SPEC, CoarseSettings()),
        history.fine[:, max(0, history.fine.shape[1] - 512) :],
    ]


def assert_same_after_trimming(ours: History, expected: History) -> None:
    for a, b in zip(after_trimming(ours), after_trimming(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def ends(starting: np.ndarray, n_starting: int, previous: np.ndarray, n_previous: int) -> np.ndarray:
    """The last tokens of the starting voice followed by the last of the previous segment."""
    return np.concatenate(
        [starting[..., starting.shape[-1] - n_starting :], previous[..., previous.shape[-1] - n_previous :]], axis=-1
    )


# ---- by interval ----------------------------------------------------------------------------------------------------

INTERVALS = {
    0: "SPPPPPPP",
    1: "SSSSSSSS",
    2: "SPSPSPSP",
    3: "SPPSPPSP",
    5: "SPPPPSPP",
}  # starting voice or segment before


@pytest.mark.parametrize("interval", INTERVALS)
def test_interval_selects_starting_voice_or_previous_segment(interval):
    plan = HistoryPlan(interval)
    for index, source in enumerate(INTERVALS[interval]):
        assert (plan.weights(index).of_starting, plan.weights(index).of_previous) == (source == "S", source == "P")
        expected = History.of_voice(STARTING if source == "S" else PREVIOUS)
        assert_same_after_trimming(history_of(plan, index), expected)


@pytest.mark.parametrize("interval", INTERVALS)
def test_separate_segments_use_only_the_starting_voice(interval):
    plan = all_stages(StageWeights(previous=1.0), interval=interval, separate=True)
    for index in range(6):
        assert plan.weights(index).of_starting and not plan.weights(index).of_previous
        assert_same_after_trimming(history_of(plan, index), History.of_voice(STARTING))
        assert_same_after_trimming(history_of(plan, index, starting=None), History.of_voice(None))


@settings(deadline=None)
@given(st.integers(0, 700), st.floats(0, 1), st.sampled_from([0, 1]))
def test_weights_of_one_and_zero_give_the_whole_voice(n, extra, interval):
    m = int(n * 75 / 49.9)  # as the model makes them, or longer while the ratio is 1.5
    source = voice(n, m + int(extra * max(0, 1.549 * n - m)))
    index, voices = (3, (source, PREVIOUS)) if interval else (3, (STARTING, source))
    assert_same_after_trimming(history_of(HistoryPlan(interval), index, *voices), History.of_voice(source))
    assert_same_after_trimming(history_of(HistoryPlan(interval), 0, source, None), History.of_voice(source))


@settings(deadline=None)
@given(st.integers(1, 700), st.floats(0, 1))
@example(102, 0.35)
def test_whole_voice_is_used_whatever_its_frame_ratio(n, share):
    lengths = [m for m in range(n, 2 * n + 1) if round(m / n, 1) == 1.5]
    if lengths:
        source = voice(n, lengths[int(share * (len(lengths) - 1))])
        assert_same_after_trimming(history_of(HistoryPlan(), 3, source), History.of_voice(source))


def test_published_voices_give_the_originals_history(shared_voices):
    for path in shared_voices.rglob("*.npz"):
        source = Voice.load(path)
        assert_same_after_trimming(history_of(HistoryPlan(), 0, source), History.of_voice(source))


@pytest.mark.parametrize("interval", [0, 1, 2])
def test_histories_are_empty_without_voices(interval):
    for index in range(3):
        history = history_of(HistoryPlan(interval), index, None, None)
        assert {name: getattr(history, name).shape for name in SHAPES} == SHAPES
    assert {name: getattr(History.of_voice(None), name).shape for name in SHAPES} == SHAPES


def test_without_starting_voice_history_is_the_previous_segment():
    assert_same_after_trimming(history_of(HistoryPlan(0), 1, None), History.of_voice(PREVIOUS))
    both = all_stages(StageWeights(future=1.0, previous=1.0))
    assert_same_after_trimming(history_of(both, 1, None), History.of_voice(PREVIOUS))
    assert_same_after_trimming(history_of(both, 1, previous=None), History.of_voice(STARTING))


# ---- by weights -----------------------------------------------------------------------------------------------------

# Windows: 256 semantic tokens, 315 frames (coarse), 512 frames (fine).
SHARES = [  # future, previous -> (tokens of the starting voice, of the segment before) in each stage
    (0.25, 0.5, (64, 128), (79, 158), (128, 256)),  # 78.75 and 157.5 frames
    (0.3, 0.1, (77, 26), (94, 32), (154, 51)),  # 76.8, 25.6; 94.5, 31.5; 153.6, 51.2
    (0.5, 0.5, (128, 128), (157, 158), (256, 256)),  # 158 + 158 frames would be one too many
    (1.0, 0.75, (64, 192), (79, 236), (128, 384)),
    (1.0, 1.0, (0, 256), (0, 315), (0, 512)),
    (0.001, 0.0, (0, 0), (0, 0), (1, 0)),
    (0.0, 0.0, (0, 0), (0, 0), (0, 0)),
]


@pytest.mark.parametrize(("future", "previous", "semantic", "coarse", "fine"), SHARES)
def test_window_is_shared_starting_voice_first(future, previous, semantic, coarse, fine):
    history = history_of(all_stages(StageWeights(future=future, previous=previous)), 2)
    np.testing.assert_array_equal(
        history.semantic, ends(STARTING.semantic, semantic[0], PREVIOUS.semantic, semantic[1])
    )
    np.testing.assert_array_equal(history.coarse, ends(STARTING.coarse, coarse[0], PREVIOUS.coarse, coarse[1]))
    np.testing.assert_array_equal(history.fine, ends(STARTING.fine, fine[0], PREVIOUS.fine, fine[1]))


@pytest.mark.parametrize(
    ("future", "semantic", "frames"),
    [
        (1.0, (216, 40), (255, 60)),
        (0.5, (128, 40), (158, 60)),
    ],  # the starting voice fills the free space, up to its share
)
def test_short_previous_segment_leaves_room_for_the_starting_voice(future, semantic, frames):
    short = voice(40, 60, first=5_000)
    history = history_of(all_stages(StageWeights(future=future, previous=1.0)), 1, previous=short)
    np.testing.assert_array_equal(history.semantic, ends(STARTING.semantic, semantic[0], short.semantic, semantic[1]))
    np.testing.assert_array_equal(history.coarse, ends(STARTING.coarse, frames[0], short.coarse, frames[1]))


def test_short_starting_voice_is_used_whole():
    short = voice(40, 60)
    history = history_of(all_stages(StageWeights(future=0.5, previous=0.5)), 1, starting=short)
    np.testing.assert_array_equal(history.semantic, ends(short.semantic, 40, PREVIOUS.semantic, 128))
    np.testing.assert_array_equal(history.coarse, ends(short.coarse, 60, PREVIOUS.coarse, 158))
    np.testing.assert_array_equal(history.fine, ends(short.fine, 60, PREVIOUS.fine, 256))


def test_starting_weight_applies_only_to_the_first_segment():
    plan = all_stages(StageWeights(starting=0.5))
    np.testing.assert_array_equal(history_of(plan, 0).semantic, STARTING.semantic[-128:])
    assert_same_after_trimming(history_of(plan, 1), History.of_voice(STARTING))
    silent = all_stages(StageWeights(starting=0.0))
    assert not silent.weights(0).of_starting and silent.weights(1).of_starting
    assert history_of(silent, 0).fine.shape == (8, 0)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("interval", [0, 1])
@pytest.mark.parametrize("share", [0.25, 0.0])
def test_a_weight_overrides_only_its_stage_and_source(stage, interval, share):
    by_interval = (1.0, 0.0) if interval else (0.0, 1.0)
    for given_weight, changed in (("future", (share, by_interval[1])), ("previous", (by_interval[0], share))):
        weights = HistoryPlan(interval, **{stage: StageWeights(**{given_weight: share})}).weights(1)
        assert weights == Weights(**dict.fromkeys(STAGES, by_interval) | {stage: changed})


@pytest.mark.parametrize("stage", STAGES)
def test_source_is_needed_when_any_stage_uses_it(stage):
    back = HistoryPlan(1, **{stage: StageWeights(previous=0.1)})
    assert back.weights(2).of_starting and back.weights(2).of_previous and not back.weights(0).of_previous
    on = HistoryPlan(0, **{stage: StageWeights(future=0.1)})
    assert on.weights(2).of_starting and on.weights(2).of_previous
    nothing = all_stages(StageWeights(future=0.0, previous=0.0))
    assert not nothing.weights(2).of_starting and not nothing.weights(2).of_previous


# ---- the coarse stage's two halves ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(20, 700), st.integers(20, 700))
def test_coarse_history_is_aligned_in_time(future, previous, n_starting, n_previous):
    sources = [voice(n, int(n * 75 / 49.9), first) for n, first in ((n_starting, 0), (n_previous, 5_000))]
    weights = StageWeights(future=future, previous=previous)
    plan = HistoryPlan(semantic=StageWeights(future=0.1, previous=0.7), coarse=weights)
    history = history_of(plan, 1, *sources)
    is_previous = history.coarse_semantic >= 5_000, history.coarse[0] >= 5_000
    for own, source in ((False, sources[0]), (True, sources[1])):
        tokens, frames = ((where == own).sum() for where in is_previous)
        assert abs(tokens / 49.9 - frames / 75) <= ALIGNMENT_S
        np.testing.assert_array_equal(
            history.coarse_semantic[is_previous[0] == own], source.semantic[len(source.semantic) - tokens :]
        )
    assert all((np.diff(where.astype(int)) >= 0).all() for where in is_previous)  # the segment before comes last
    assert history.coarse.shape[1] <= 315


def test_stages_use_their_own_weights_and_coarse_semantic_uses_the_coarse_weights():
    plan = HistoryPlan(1, StageWeights(future=0.0), StageWeights(future=0.5), StageWeights(future=0.25))
    history = history_of(plan, 1)
    assert len(history.semantic) == 0
    np.testing.assert_array_equal(history.coarse_semantic, STARTING.semantic[-105:])  # 158 frames are 105.1 tokens
    np.testing.assert_array_equal(history.coarse, STARTING.coarse[:, -158:])
    np.testing.assert_array_equal(history.fine, STARTING.fine[:, -128:])
