"""Shards of one run over a shared folder: together they make every clip once, whatever is killed and started again."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import VOICE, Counting, Hashing

from bark_infinity.errors import UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.recipe import Recipe

TEXT = "\n".join(f"This is clip number {k}." for k in range(7))


def job(shard: str | None, **options) -> tuple[Job, Counting]:
    cut = {"split_input_into_separate_prompts_by": "line", "semantic_max_gen_duration_s": 0.3, "output_iterations": 2}
    resolved = resolve(Options(text_prompt=TEXT, shard=shard, output_dir="out", **{**cut, **options}))
    engine = Counting(Hashing())
    return Job(resolved, ClipSource(resolved), Recipe.from_options(resolved, engine, VOICE)), engine


def make(shard: str | None, **options) -> tuple[list[str], int]:
    """The names of the clips that a shard makes, and how many segments it generates for them."""
    made, engine = job(shard, **options)
    paths = [result.path for result in made.run() if isinstance(result, Clip)]
    return [path.name for path in paths if path is not None], engine.n_spoken


def wavs() -> list[str]:
    return sorted(path.name for path in Path("out").glob("*.wav"))


def test_shards_make_every_clip_once_and_a_repeated_one_makes_nothing():
    names = [name for k in (2, 1, 3) for name in make(f"{k}/3")[0]]
    assert len(names) == len(set(names)) == 14 and sorted(names) == wavs()
    again, _ = job("2/3")
    assert again.resumed and len(again.finished_clips) == 5 and not again.open_plans
    assert list(again.run()) == []
    assert make("2/3") == ([], 0) and len(wavs()) == 14


def test_shard_that_was_killed_goes_on_with_its_seed():
    first, _ = job("2/3")
    results = first.run()
    assert any(isinstance(result, FinishedSegment) for result in results)
    next(result for result in results if isinstance(result, Clip))
    results.close()
    done = len(wavs())
    assert 0 < done < 5
    assert make("1/3")[1] == 5  # another shard is not disturbed, and disturbs nothing
    names, spoken = make("2/3")
    assert len(names) == 5 - done and spoken <= 5 - done and len(wavs()) == 10


def test_second_process_on_the_same_shard_is_refused():
    first, _ = job("1/3")
    with pytest.raises(UsageError, match="another process works on this shard"):
        job("1/3")
    results = first.run()
    next(results)
    results.close()
    assert len(make("1/3")[0]) == 5


def test_shards_of_another_run_are_others():
    assert len(make("1/3")[0]) == 5
    assert len(make("1/3", semantic_temp=0.5)[0]) == 5 and len(wavs()) == 10


def test_resume_false_starts_the_shard_over():
    make("1/3")
    assert len(make("1/3", resume=False)[0]) == 5 and len(wavs()) == 10
    assert make("1/3") == ([], 0)


def test_damaged_journal_is_begun_anew():
    make("1/3")
    (path,) = Path("out").glob(".shard-1-of-3-*.jsonl")
    path.write_bytes(b"no JSON")
    assert len(make("1/3")[0]) == 5
    assert make("1/3") == ([], 0)
