"""Lineage against the definition: for each segment, all earlier segments on which its history may depend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.run.lineage import Lineage
from bark_infinity.run.planning import SegmentPlan
from bark_infinity.seeds import Seeds
from bark_infinity.voices.history import HistoryPlan, StageWeights

shares = st.none() | st.sampled_from([0.0, 0.5, 1.0])
stage_weights = st.builds(StageWeights, future=shares, previous=shares)
rules = st.builds(
    HistoryPlan, st.integers(0, 4), stage_weights, stage_weights, separate=st.sampled_from([False, False, True])
)
segments = st.lists(
    st.builds(
        SegmentPlan,
        st.sampled_from(["words", "words", ""]),
        st.just(Seeds(1)),
        speaker=st.sampled_from([None, "A", "B"]),
    ),
    min_size=1,
    max_size=12,
)
speakers_with_voice = st.sets(st.sampled_from([None, "A", "B"]))


def sources(
    index: int,
    plans: Sequence[SegmentPlan],
    rule: HistoryPlan,
    voiced: Collection[str | None],
    asks: bool,
    is_silent: Callable[[int], bool],
) -> Iterator[int]:
    """Yield the segments that decide the history of a segment; whether one is silent is asked after it was yielded."""
    speaker = plans[index].speaker
    own = [k for k in range(index) if plans[k].speaker == speaker]
    if not own:
        return
    weights = rule.weights(len(own), wordless=not plans[index].text)
    needs_start = weights.of_starting
    if asks:
        yield from own
    if weights.of_previous:
        yield own[-1]
        needs_start |= is_silent(own[-1])
    if needs_start and speaker not in voiced and not rule.separate:
        for k in own:
            yield k
            if not is_silent(k):
                return


@settings(max_examples=150, deadline=None)
@given(st.data(), segments, rules, speakers_with_voice, st.booleans())
def test_history_is_known_when_its_sources_are_finished(data, plans, rule, voiced, asks):
    """In every order in which segments can be finished, and as soon as it is possible."""
    lineage = Lineage(plans, rule, voiced.__contains__, asks)
    silent: dict[int, bool] = {}  # of the finished segments

    def known() -> set[int]:
        found = set()
        for k in range(len(plans)):
            needed = sources(k, plans, rule, voiced, asks, silent.__getitem__)
            if all(source in silent for source in needed):
                found.add(k)
        return found

    now = known()
    for _ in plans:
        assert {k for k in range(len(plans)) if lineage.is_known(k)} == now
        index = data.draw(st.sampled_from(sorted(now - silent.keys())))
        silent[index] = data.draw(st.booleans())
        candidates = set(lineage.finish(index, silent[index]))
        before, now = now, known()
        assert now - before <= candidates and now >= before
    for k, segment in enumerate(plans):
        own = [i for i, other in enumerate(plans) if other.speaker == segment.speaker]
        assert [*lineage.earlier(k)] == [i for i in own if i < k]
        assert lineage.previous(k) == max((i for i in own if i < k), default=None)
        assert lineage.following(k) == min((i for i in own if i > k), default=None)
        has_voice = segment.speaker in voiced or rule.separate
        assert lineage.start(k) == (None if has_voice else next((i for i in own if not silent[i]), None))


@pytest.mark.parametrize("interval", [0, 1, 2, 3])
def test_rule_counts_the_segments_of_each_speaker(interval):
    plans = [SegmentPlan("words", Seeds(1), speaker=name) for name in "ABAAB"]
    rule = HistoryPlan(interval)
    lineage = Lineage(plans, rule, lambda _: True)
    assert [lineage.weights(k) for k in range(5)] == [rule.weights(position) for position in (0, 0, 1, 2, 1)]
