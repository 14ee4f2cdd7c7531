"""A finished clip with a changed text: only what is new, and what depends on it, is made again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fakes import VOICE, Counting, Hashing, voice_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bark_infinity.cli.main import parse
from bark_infinity.errors import UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.mending import describe_mended
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.recipe import Recipe

FRONT = "+++\n[cast]\nAnna = 'anna.npz'\nBob = 'bob.npz'\n+++\n"
LINES = [f"{'Anna' if k % 2 else 'Bob'}: This is line number {k}." for k in range(200)]


def job(*arguments: str, voice=VOICE, engine=None) -> Job:
    source = ClipSource(resolve(parse(arguments)))
    voices = {name: voice_of(1 if named.voice == "anna.npz" else 2) for name, named in source.voices.items()}
    recipe = Recipe.from_options(source.options, engine or Counting(Hashing()), voice, voices=voices)
    return Job(source.options, source, recipe)


def finish(of: Job) -> tuple[Path, list[FinishedSegment]]:
    """The manifest and the segments of the finished clip."""
    *segments, clip = of.run()
    assert isinstance(clip, Clip) and clip.path is not None
    return clip.path.with_suffix(".json"), segments


def spoken(of: Job) -> int:
    """How many segments the job's engine generates."""
    before = of._recipe.engine.n_spoken
    finish(of)
    return of._recipe.engine.n_spoken - before


@pytest.fixture
def manifest() -> str:
    voice_of(1).save(Path("anna.npz"))
    voice_of(2).save(Path("bob.npz"))
    Path("old.txt").write_text(FRONT + "\n".join(LINES))
    return str(finish(job("--prompt_file", "old.txt"))[0])


def mended(manifest: str, lines: list[str], *more: str, front: str = FRONT) -> Job:
    Path("new.txt").write_text(front + "\n".join(lines))
    return job("--from_manifest", manifest, "--prompt_file", "new.txt", *more)


def test_edit_of_one_word_in_two_hundred_segments_makes_one(manifest):
    lines = [line.replace("number 77.", "number seventy-seven.") for line in LINES]
    of = mended(manifest, lines)
    assert list(of.mended.lines()) == [
        ("-", "Anna: This is line number 77."),
        ("+", "Anna: This is line number seventy-seven."),
    ]
    assert (
        describe_mended(of.mended, of.kept)
        == "of the clip's segments: 1 new or changed, 1 left out or replaced, 199 kept"
    )
    assert spoken(of) == 1


def test_mended_clip_can_be_made_again_bit_for_bit(manifest):
    path, _ = finish(mended(manifest, ["Bob: A new beginning.", *LINES[:40], *LINES[50:]]))
    again, _ = finish(job("--from_manifest", str(path)))
    digests = {read_manifest(str(name)).content["audio_sha256"] for name in (path, again)}
    assert len(digests) == 1


def test_new_and_removed_segments(manifest):
    of = mended(manifest, [*LINES[:10], "Anna: Something else here.", *LINES[10:100], *LINES[105:]])
    assert (len(of.kept), of.mended.changed, of.mended.left_out) == (195, {10}, list(range(100, 105)))
    assert spoken(of) == 1


def test_plain_text_is_mended_too():
    path, _ = finish(job("--text_prompt", "One here.\nTwo there.\nThree.", "--split_each_text_prompt_by", "line"))
    of = job("--from_manifest", str(path), "--text_prompt", "One here.\nTwo where?\nThree.")
    assert of.mended.changed == {1} and spoken(of) == 1


def test_dependents_under_rolling_history_are_made_again_of_the_same_speaker(manifest):
    path, _ = finish(job("--prompt_file", "old.txt", "--stable_mode_interval", "5"))
    lines = [line.replace("number 21.", "number twenty-one.") for line in LINES]
    of = mended(str(path), lines)
    # line 21 is Anna's segment 10, the first of an interval of five
    assert sorted(set(range(200)) - of.kept.keys()) == [21, 23, 25, 27, 29]
    assert "1 new or changed, 4 made again because of them" in describe_mended(of.mended, of.kept)
    assert spoken(of) == 5


def test_changed_pronunciation_makes_only_the_segments_it_touches(manifest):
    Path("words.toml").write_text('[words]\n"7" = "seven"\n"77" = "seven seven"\n')
    of = job("--from_manifest", manifest, "--pronunciations", "words.toml")
    assert of.mended.changed == {7, 77}
    path, _ = finish(of)
    Path("words.toml").write_text('[words]\n"7" = "seven"\n"77" = "double seven"\n')
    again = job("--from_manifest", str(path), "--pronunciations", "words.toml")
    assert again.mended.changed == {77} and spoken(again) == 1


def test_other_voice_or_settings_of_a_speaker_make_his_segments_again(manifest):
    of = job("--from_manifest", manifest, "--cast", "Bob=anna.npz")
    assert of.mended.changed == set(range(0, 200, 2))
    of.run().close()
    with_settings = mended(manifest, LINES, front=FRONT.replace("'bob.npz'", "{voice = 'bob.npz', text_temp = 0.5}"))
    assert with_settings.mended.changed == set(range(0, 200, 2))


def test_cast_of_the_manifest_stays_where_the_text_declares_none(manifest):
    of = mended(manifest, LINES[:30], front="")
    assert not of.mended.changed and {segment.speaker for segment in of.mended.plan.segments} == {"Anna", "Bob"}


def test_voice_of_the_new_text_may_lie_anywhere_and_that_of_the_manifest_alone_may_not(manifest, tmp_path_factory):
    away = tmp_path_factory.mktemp("away") / "bob.npz"
    Path("bob.npz").rename(away)
    path, _ = finish(mended(manifest, LINES[:9], front=FRONT.replace("bob.npz", str(away))))
    with pytest.raises(UsageError, match="names the voice .* for Bob, .* give it as --cast Bob="):
        mended(str(path), LINES[:9], front="")
    for more, front in (((), FRONT.replace("bob.npz", str(away))), (("--cast", f"Bob={away}"), "")):
        assert not mended(str(path), LINES[:9], *more, front=front).mended.changed


def test_regenerate_counts_the_segments_of_the_new_text(manifest):
    of = mended(manifest, ["Bob: A new beginning.", *LINES], "--regenerate", "1,78", "--seed", "9")
    assert of.mended.changed == {0, 77} and spoken(of) == 2


def test_text_beside_restitch_is_refused(manifest):
    with pytest.raises(UsageError, match="--text_prompt does nothing beside --restitch"):
        job("--from_manifest", manifest, "--restitch", "--text_prompt", "Hello.")


def test_text_of_a_settings_file_does_not_mend(manifest):
    Path("my.toml").write_text('text_prompt = "Something else."\n')
    assert job("--from_manifest", manifest, "--config", "my.toml").mended is None


turns = st.lists(st.tuples(st.sampled_from(["Anna: ", "Bob: ", ""]), st.sampled_from("abcdef")), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns, turns, st.integers(0, 3), st.booleans())
def test_kept_segments_are_those_that_making_all_again_would_not_change(before, after, interval, has_voice):
    for number, name in enumerate(("anna", "bob"), 1):
        voice_of(number).save(Path(f"{name}.npz"))
    voice = VOICE if has_voice else None
    texts = [FRONT + "\n\n".join(f"{name}Word {word} is here." for name, word in own) for own in (before, after)]
    how = ("--stable_mode_interval", str(interval), "--seed", "3", "--resume", "false")
    split = ("--split_character_goal_length", "10", "--split_character_max_length", "30")
    path, _ = finish(job("--text_prompt", texts[0], *how, *split, voice=voice))
    of = job("--from_manifest", str(path), "--text_prompt", texts[1], "--resume", "false", voice=voice)
    _, segments = finish(of)
    _, alone = finish(job("--text_prompt", texts[1], *how, *split, voice=voice))
    assert [one.voice.digest() for one in segments] == [one.voice.digest() for one in alone]
    # Others may be recalled too: where all that a segment depends on is that of one made before, it is not made twice.
    assert all(segments[k].record.recalled for k in of.kept)
    assert dataclasses.replace(of.mended.plan, stem="").segments
