"""Seeds: the command line's promises, and derived values that must never change."""

from __future__ import annotations

import pytest

from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.planning import clip_seed, segment_seeds
from bark_infinity.seeds import MAX_SEED, Seeds, derive_seed, draw_seed

DRAWN = 77


def starts(options: Options, prompt: int = 0, take: int = 0, segments: int = 3) -> list[int | None]:
    """The seeds of a clip's segments."""
    seed = clip_seed(options, DRAWN, prompt, take)
    return [segment_seeds(options, seed, k).segment for k in range(segments)]


@pytest.mark.parametrize(
    ("seed", "what", "index", "expected"),
    [
        (42, "segment", 0, 42),
        (42, "segment", 1, 1609950334),
        (42, "segment", 2, 2193656950),
        (42, "take", 1, 3504838765),
        (42, "prompt", 1, 1180825992),
        (0, "segment", 1, 727250709),
        (MAX_SEED, "segment", 0, MAX_SEED),
        (MAX_SEED, "segment", 1000, 3148818358),
    ],
)
def test_derived_seeds_never_change(seed, what, index, expected):
    assert derive_seed(seed, what, index) == expected


def test_every_segment_uses_the_given_seed():
    assert starts(Options(seed=0)) == [0, 0, 0]
    assert starts(Options(seed=5), prompt=3) == [5, 5, 5]
    takes = [starts(Options(seed=5), take=take) for take in range(20)]
    assert all(len(set(take)) == 1 for take in takes) and len({take[0] for take in takes}) == 20


def test_seeds_are_derived_from_single_starting_seed():
    options = Options(single_starting_seed=0)
    assert starts(options) == [derive_seed(0, "segment", k) for k in range(3)]
    assert starts(options)[0] == 0
    assert starts(options, prompt=3) == starts(options)
    second = derive_seed(0, "take", 1)
    assert starts(options, take=1) == [derive_seed(second, "segment", k) for k in range(3)]


def test_without_a_seed_all_seeds_derive_from_a_random_one():
    assert starts(Options()) == starts(Options(single_starting_seed=DRAWN))
    assert starts(Options(), prompt=2, take=1) == starts(
        Options(single_starting_seed=derive_seed(DRAWN, "prompt", 2)), take=1
    )


def test_stage_seeds_apply_in_every_segment():
    options = Options(seed=1, semantic_seed=0, fine_seed=9)
    assert segment_seeds(options, 1, 0) == segment_seeds(options, 1, 7) == Seeds(1, semantic=0, coarse=None, fine=9)
    assert segment_seeds(Options(coarse_seed=4), 1, 7) == Seeds(derive_seed(1, "segment", 7), coarse=4)


@pytest.mark.parametrize(
    "options", [Options(), Options(single_starting_seed=0), Options(single_starting_seed=MAX_SEED)]
)
def test_seeds_of_segments_are_distinct(options):
    prompts = 5 if options.single_starting_seed is None else 1
    seeds = [s for p in range(prompts) for take in range(20) for s in starts(options, p, take, segments=100)]
    assert len(set(seeds)) == len(seeds) == prompts * 2000
    assert min(seeds) >= 0 and max(seeds) <= MAX_SEED


def test_random_seeds_are_valid_and_differ():
    seeds = [draw_seed() for _ in range(50)]
    assert all(resolve(Options(seed=seed)).seed == seed for seed in seeds)
    assert len(set(seeds)) == 50
