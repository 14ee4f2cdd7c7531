"""--shard 3/20."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.shard import Shard
from bark_infinity.options.table import Options


def test_every_20th_clip_from_the_third_on():
    assert Shard.read("3/20").own(range(50)) == [2, 22, 42]
    assert Shard.read(" 1 / 1 ").own("abc") == ["a", "b", "c"] and Shard.read("9/10").own("abc") == []


@given(st.integers(0, 100), st.integers(1, 30))
def test_shards_make_every_clip_once(n, of):
    shards = [Shard(number, of).own(range(n)) for number in range(1, of + 1)]
    assert sorted(clip for shard in shards for clip in shard) == list(range(n))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/2/3", "1/99999999", "1.5/3"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match=r"--shard .* is not K/N with K from 1 to N"):
        resolve(Options(shard=text))


@pytest.mark.parametrize("name", ["split_input_into_separate_prompts_by", "history_prompt"])
def test_random_cuts_and_random_voices_need_a_seed(name):
    options = {"shard": "1/2", name: "random"}
    with pytest.raises(UsageError, match="--shard needs --seed"):
        resolve(Options(**options))
    assert resolve(Options(seed=1, **options)).shard == "1/2"


def test_cluster_flags_that_do_nothing_are_refused():
    with pytest.raises(UsageError, match="--workers does nothing without --cluster"):
        resolve(Options(workers=2))
    assert resolve(Options(workers=2, cluster="auto")).workers == 2
    with pytest.raises(UsageError, match="--cluster does nothing beside --restitch"):
        resolve(Options(from_manifest="a.json", restitch=True, cluster="auto"))
    with pytest.raises(UsageError, match="--shard does nothing beside --from_manifest"):
        resolve(Options(from_manifest="a.json", shard="1/2"))
