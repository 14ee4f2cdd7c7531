"""A batch that runs between two steps of another one, in any stage: both make the tokens that each makes alone, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bark_infinity import Bark, Seeds, Segment, Settings
from bark_infinity.checkpoints.finding import DEMO
from bark_infinity.model.steps import CompiledBlocks
from bark_infinity.stages.semantic import SemanticSettings
from bark_infinity.voices.history import History

STAGES = ("semantic", "coarse", "fine")
SHORT = Settings(SemanticSettings(max_gen_duration_s=0.2))


@pytest.fixture(scope="module")
def small_demo() -> Bark:
    """The demo, whose semantic stage runs whole steps as compiled programs where the processor can."""
    return Bark.load(str(DEMO), device="cpu", dtype="float32")


def segments(n: int, first_seed: int, voice=None) -> list[Segment]:
    texts = [f"The sentence number {first_seed + k}." for k in range(n)]
    return [Segment(text, History.of_voice(voice), Seeds(first_seed + k)) for k, text in enumerate(texts)]


def tokens(generations) -> list[np.ndarray]:
    return [array for one in generations for array in (*one.voice.prompts().values(), one.audio)]


def check_nested(bark: Bark, outer: list[Segment], inner: dict[int, list[Segment]]) -> None:
    """`inner`: by the number of calls in each stage after which they are generated, within a batch of `outer`."""
    alone = tokens(bark.generate(outer, SHORT))
    inner_alone = {at: tokens(bark.generate(own, SHORT)) for at, own in inner.items()}
    calls = dict.fromkeys(STAGES, 0)
    n_nested = 0

    def between_steps(stage: str, *_: int) -> None:
        nonlocal n_nested
        calls[stage] += 1
        if calls[stage] in inner:
            nested = tokens(bark.generate(inner[calls[stage]], SHORT))
            for ours, theirs in zip(nested, inner_alone[calls[stage]], strict=True):
                np.testing.assert_array_equal(ours, theirs)
            n_nested += 1

    for ours, theirs in zip(tokens(bark.generate(outer, SHORT, between_steps)), alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert n_nested == len(STAGES) * len(inner)


def test_batches_of_any_size_within_another(demo, make_voice):
    check_nested(demo, segments(2, 0, make_voice()), {2: segments(2, 20), 5: segments(3, 30)})


def test_batches_with_captured_graphs_within_another(bark, as_on_cuda):
    check_nested(bark, segments(1, 0), {1: segments(2, 30)})


def test_batches_of_compiled_programs_within_another(small_demo):
    if not CompiledBlocks.works_for(small_demo.stages["semantic"].model):
        pytest.skip("this processor has no AVX512")
    check_nested(small_demo, segments(1, 0), {2: segments(1, 20), 5: segments(2, 30)})


def test_a_nested_batch_has_all_threads(bark, two_threads):
    """With fewer than a batch that is not nested, a sum may be rounded in another way."""
    threads: set[int] = set()
    bark.generate(segments(1, 0), SHORT, lambda *_: threads.add(torch.get_num_threads()))
    assert threads == {2}


def test_time_of_a_nested_batch_is_not_that_of_the_outer_one(bark, monkeypatch):
    from bark_infinity import bark as module

    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)

    def between_steps(*_: object) -> None:
        nonlocal now
        now += 1.0

    (one,) = bark.generate(segments(1, 0), SHORT, between_steps)
    assert set(one.seconds_taken.values()) == {0.0} and now > 10


@pytest.mark.parametrize("stage", STAGES)
def test_a_row_that_is_not_wanted_leaves_within_a_step(bark, decoders, stage):
    """Its slot goes to the next row, and the others' tokens stay what they are."""
    left: set[int] = set()
    batch = segments(4, 0)
    alone = tokens(bark.generate([batch[0], batch[2], batch[3]], SHORT))
    decoders.clear()
    kept = [
        Segment(one.text, one.history, one.seeds, is_wanted=lambda k=k: k not in left) for k, one in enumerate(batch)
    ]
    calls = dict.fromkeys(STAGES, 0)

    def between_steps(name: str, *_: int) -> None:
        calls[name] += 1
        if name == stage and calls[name] == 3:
            left.add(1)

    made = dict(bark.stream(kept, SHORT, between_steps, rows=2))
    assert sorted(made) == [0, 2, 3]
    for ours, theirs in zip(tokens(made[k] for k in sorted(made)), alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if stage == "semantic":
        assert calls["coarse"] < calls["semantic"] * 6
