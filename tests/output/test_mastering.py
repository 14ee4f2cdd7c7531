"""Finished audio: loudness, peaks, rates and joints of whole clips, as the flags ask for them, and the same when stitched again."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import VOICE, Hashing, recipe_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, babble, ebur128, silence, tone

from bark_infinity.audio.chapters import Chapter
from bark_infinity.audio.delivery import check_acx, measure, sound_files
from bark_infinity.audio.polyphase import Resampler
from bark_infinity.audio.targets import loudness_target
from bark_infinity.audio.writing import Level
from bark_infinity.errors import UsageError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output import mastering
from bark_infinity.output.clip_files import clip_keys, save_clips
from bark_infinity.output.mastering import Master
from bark_infinity.output.restitching import restitch_file
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.journal import RunJournal
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.scheduler import RunProgress

TEXT = "One is here.\nTwo is there.\nThree is gone."
BOOK = "# One\nOne is here.\nTwo is there.\n# Two\nThree is gone.\n# Three\nFour is back.\n"


class Speaking(Hashing):
    """An engine whose segments sound like speech of 3 s, with silence at both ends."""

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.concatenate([silence(0.2), babble(2.5, int(own[0, 0])), silence(0.3)]) for own in codes]


class Changing(Speaking):
    """An engine whose segments sound as `sound` says."""

    def __init__(self, sound: np.ndarray):
        super().__init__()
        self._sound = sound

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._sound for _ in codes]


def make(folder: str = "out", text: str = TEXT, engine: Hashing | None = None, **changed) -> tuple[Clip, dict]:
    """A clip made with these options, and its manifest."""
    clip, _ = make_with_segments(folder, text, engine, **changed)
    assert clip.path is not None
    return clip, json.loads(clip.path.with_suffix(".json").read_text())


def make_with_segments(
    folder: str, text: str, engine: Hashing | None = None, **changed
) -> tuple[Clip, list[FinishedSegment]]:
    asked = {"split_each_text_prompt_by": "line", "check_segments": "off", "seed": 5, "output_dir": folder} | changed
    options = resolve(Options(text_prompt=text, **asked))
    recipe = recipe_of(engine or Speaking(), VOICE, **asked)
    *segments, clip = save_clips(recipe, ClipSource(options).plan()[0], Path(folder), options)
    assert isinstance(clip, Clip), clip
    return clip, segments


def restitched(clip: Clip, folder: str) -> Path:
    options = resolve(Options(from_manifest=str(clip.path.with_suffix(".json")), restitch=True))
    return restitch_file(clip.path, lambda codes: Speaking().decode([codes])[0], Path(folder, "again.wav"), options)


# ---- loudness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [24_000, 44_100])
@pytest.mark.parametrize("name", ["ebu", "podcast", "audiobook", "-12", "-27.5"])
def test_ffmpeg_finds_the_loudness_and_no_peak_over_the_limit(name, rate):
    clip, manifest = make(loudness=name, sample_rate=rate)
    target = loudness_target(name)
    samples, found_rate = soundfile.read(clip.path)
    found = ebur128(samples, rate)
    assert found_rate == rate
    assert found.true_peak_db <= target.peak_dbtp
    if not clip.notes:
        assert found.lufs == pytest.approx(target.lufs, abs=0.3)
    after = manifest["mastering"]["after"]
    assert after["loudness_lufs"] == pytest.approx(found.lufs, abs=0.1)
    assert after["true_peak_dbtp"] == pytest.approx(found.true_peak_db, abs=0.2)
    assert not list(Path("out").glob("**/*.unmastered"))


def test_passes_over_the_finished_clip_are_reported(monkeypatch):
    """Each from its beginning to its end, after the last segment; the last pass writes the file."""
    monkeypatch.setattr(mastering, "_BLOCK", RATE)
    reports: list[RunProgress] = []
    asked = {"split_each_text_prompt_by": "line", "loudness": "audiobook", "seed": 5, "output_dir": "out"}
    options = resolve(Options(text_prompt=TEXT, **asked))
    recipe = recipe_of(Speaking(), VOICE, **asked)
    list(save_clips(recipe, ClipSource(options).plan()[0], Path("out"), options, progress=reports.append))
    found = [report.mastering for report in reports if report.mastering is not None]
    passes = [[one.share for one in own] for _, own in itertools.groupby(found, lambda one: one.number)]
    assert len(passes) >= 2 and all(own == sorted(own) and own[-1] == 1.0 and len(own) > 5 for own in passes)
    assert all(report.segments_done == 3 for report in reports if report.mastering is not None)


def test_one_gain_for_the_whole_clip():
    """Where the limiter does nothing, all samples have the same gain: no segment is raised on its own."""
    plain, _ = make("plain")
    loud, manifest = make("loud", loudness="-30")
    before, after = soundfile.read(plain.path)[0], soundfile.read(loud.path)[0]
    loudness, limiter = manifest["mastering"]["filters"]
    assert limiter["most_reduction_db"] == 0
    np.testing.assert_allclose(after, before * 10 ** (loudness["gain_db"] / 20), atol=1e-4)


@pytest.mark.parametrize("sound", [np.full(RATE * 2, 1e-5, np.float32), tone(0.1, -6)], ids=["too quiet", "too short"])
def test_what_cannot_be_measured_stays_and_is_told(sound):
    clip, manifest = make(text="One.", engine=Changing(sound), loudness="podcast")
    (note,) = clip.notes
    assert "too short or too quiet" in note
    np.testing.assert_allclose(soundfile.read(clip.path)[0], sound, atol=1e-4)
    assert manifest["mastering"]["after"]["loudness_lufs"] is None


def test_a_target_that_peaks_forbid_is_told():
    clicks = np.zeros(RATE * 3, np.float32)
    clicks[::6000] = 1
    clip, _ = make(text="One.", engine=Changing(clicks), loudness="-5")
    (note,) = clip.notes
    assert "and not -5" in note and "peaks" in note


def test_samples_that_are_no_numbers_do_no_harm():
    sound = babble(3).copy()
    sound[1000], sound[2000] = np.nan, np.inf
    clip, _ = make(text="One.", engine=Changing(sound), loudness="ebu")
    assert np.isfinite(soundfile.read(clip.path)[0]).all()


@pytest.mark.parametrize("chain", [{"sample_rate": 48_000}, {"loudness": "ebu"}])
def test_a_clip_whose_first_segment_is_silent(chain):
    collected = mastered([(silence(0), 0), (babble(1), 0), (silence(0), 1)], resolve(Options(text_prompt="-", **chain)))
    assert collected.joined().keys() == {0}


# ---- joints and rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_segments_are_where_the_manifest_says(rate):
    clip, segments = make_with_segments(
        "out", TEXT, trim_silence=True, crossfade_ms=40, add_silence_between_segments=0, sample_rate=rate
    )
    manifest = json.loads(clip.path.with_suffix(".json").read_text())
    samples, _ = soundfile.read(clip.path, dtype="float32")
    assert manifest["sample_rate"] == rate
    assert len(samples) == -(-clip.samples * rate // RATE)
    spans = [(entry["start"], entry["end"]) for entry in manifest["segments"]]
    assert all(later[0] == pytest.approx(earlier[1] - 0.04) for earlier, later in zip(spans, spans[1:], strict=False))
    for segment, (start, end) in zip(segments, spans, strict=True):
        # the segment's own sound at its own place, as the same filter makes it of silence around it
        lead = np.concatenate([silence(0), np.zeros(round(start * RATE), np.float32), segment.audio])
        resampler = Resampler(RATE, rate)
        expected = np.concatenate([resampler.add(lead), resampler.finish()])
        inner = slice(round((start + 0.05) * rate), round((end - 0.05) * rate))
        np.testing.assert_allclose(samples[inner], expected[inner], atol=1e-3)


def test_trimming_takes_the_silence_of_every_segment_and_says_how_much():
    plain, _ = make("plain")
    clip, manifest = make("short", trim_silence=True)
    (entry,) = manifest["mastering"]["filters"]
    assert entry["removed_seconds"] == pytest.approx(plain.seconds - clip.seconds, abs=1e-5)
    assert entry["removed_seconds"] > 3 * 0.3


def test_without_such_flags_there_is_no_entry():
    assert "mastering" not in make()[1]


def test_a_crossfade_is_only_where_no_silence_is():
    plain, _ = make("plain")
    faded, manifest = make("faded", crossfade_ms=50)
    assert plain.audio_sha256 == faded.audio_sha256
    assert manifest["mastering"]["filters"][0]["crossfades"] == 0


# ---- stitched again, resumed ----------------------------------------------------------------------------------------

CHAINS = [
    {"loudness": "podcast", "sample_rate": 48_000},
    {"trim_silence": True, "crossfade_ms": 30.0, "add_silence_between_segments": 0.0, "loudness": "audiobook"},
    {"sample_rate": 16_000, "gain_db": -3.0},
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_stitched_again_it_is_the_same(chain):
    clip, manifest = make("old", **chain)
    again = restitched(clip, "new")
    assert again.read_bytes() == clip.path.read_bytes()
    assert json.loads(again.with_suffix(".json").read_text())["mastering"] == manifest["mastering"]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_a_clip_that_is_gone_on_with_is_the_same(chain):
    clip, manifest = make("whole", **chain)
    asked = {"split_each_text_prompt_by": "line", "check_segments": "off", "seed": 5, "output_dir": "parts", **chain}
    options = resolve(Options(text_prompt=TEXT, batch_size=1, **asked))
    recipe, (plans, _) = recipe_of(Speaking(), VOICE, **asked), plan_clips([TEXT], options, 0)
    folder, key = Path("parts"), clip_keys(options, recipe)
    results = save_clips(recipe, plans, folder, options, journal := RunJournal.start(folder, key, 0))
    next(results)
    results.close()
    journal.close(complete=False)
    assert not list(folder.glob("**/*.unmastered"))
    (journal,) = RunJournal.unfinished(folder, key)
    assert journal.belongs_to(plans)
    *_, again = save_clips(recipe, plans, folder, options, journal)
    assert again.path.read_bytes()[200:] == clip.path.read_bytes()[200:]  # after the tags, which have the options
    assert json.loads(again.path.with_suffix(".json").read_text())["mastering"] == manifest["mastering"]


def test_the_digest_is_that_of_the_finished_sound():
    assert make("one")[0].audio_sha256 != make("two", loudness="ebu")[0].audio_sha256
    assert make("one")[0].audio_sha256 == make("three", loudness="off")[0].audio_sha256


# ---- audiobooks -----------------------------------------------------------------------------------------------------


def failures(path: Path) -> set[str]:
    ((_, criteria),) = check_acx([path])
    return {one.name for one in criteria if not one.passed}


def test_an_audiobook_passes_the_check_of_acx():
    clip, _ = make(loudness="audiobook", output_format="mp3", sample_rate=44_100)
    assert failures(clip.path) == set()


def test_each_chapter_file_of_an_audiobook_passes_it():
    as_book = {"loudness": "audiobook", "output_format": "mp3", "sample_rate": 44_100, "chapter_files": True}
    clip, manifest = make(text=BOOK, engine=Changing(babble(15)), script="dialogue", **as_book)
    files = sound_files(clip.path)
    assert [path.name[:2] for path in files] == ["01", "02", "03"]
    found = dict(check_acx(files))
    for path, criteria in found.items():
        assert [one.name for one in criteria if not one.passed] == [], path
    # nothing is lost between the files
    assert sum(measure(path).seconds for path in files) == pytest.approx(manifest["seconds"], abs=0.2)


def test_the_spoiled_are_refused_for_the_right_reason():
    as_book = {"loudness": "audiobook", "output_format": "mp3", "sample_rate": 44_100}
    spoiled = {
        "bit rate": as_book | {"output_format": "flac"},
        "sample rate": as_book | {"sample_rate": 48_000},
        "RMS level": as_book | {"loudness": "-30"},
        "peak": as_book | {"loudness": "-14"},
        "silence behind": as_book | {"loudness": "-21"},
    }
    for reason, chain in spoiled.items():
        clip, _ = make(reason.replace(" ", "_"), **chain)
        assert reason in failures(clip.path)


# ---- the sink -------------------------------------------------------------------------------------------------------


class Collected:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.level = Level()
        self.chapters: dict[int, list[np.ndarray]] = {}
        self.closed = self.discarded = 0

    def write(self, samples: np.ndarray, chapter: int) -> None:
        self.chapters.setdefault(chapter, []).append(samples)

    def close(self, chapters: Sequence[Chapter]) -> None:
        self.closed += 1

    def discard(self) -> None:
        self.discarded += 1

    def joined(self) -> dict[int, np.ndarray]:
        return {chapter: np.concatenate(blocks) for chapter, blocks in self.chapters.items()}


def mastered(parts: Sequence[tuple[np.ndarray, int]], options: Options) -> Collected:
    collected = Collected()
    master = Master(collected, options, Path("scratch"))
    for samples, chapter in parts:
        master.write(samples, chapter)
    master.close(())
    master.discard()
    assert not Path("scratch").exists() and collected.closed == 1
    return collected


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(1, 30_000), min_size=1, max_size=4),
    st.integers(1, 20_000),
    st.sampled_from([{"loudness": "ebu"}, {"sample_rate": 44_100}, {"loudness": "podcast", "sample_rate": 16_000}, {}]),
)
def test_chapters_are_cut_where_they_begin_and_blocks_do_not_matter(lengths, block, chain):
    options = resolve(Options(text_prompt="-", **chain))
    source = babble(6)
    pieces = np.split(source[: sum(lengths)], np.cumsum(lengths)[:-1])
    parts = [(piece[at : at + block], k) for k, piece in enumerate(pieces) for at in range(0, len(piece), block)]
    whole, found = (
        mastered(list(zip(pieces, range(9), strict=False)), options).joined(),
        mastered(parts, options).joined(),
    )
    assert whole.keys() == found.keys()
    for chapter, samples in whole.items():
        np.testing.assert_array_equal(found[chapter], samples)
    ends = np.cumsum([len(found[chapter]) for chapter in sorted(found)])
    rate = options.sample_rate
    places = [round(end * rate / RATE) for end in np.cumsum(lengths)]
    assert list(ends[:-1]) == places[:-1] and abs(ends[-1] - places[-1]) <= 1


def test_memory_does_not_grow_with_the_clip():
    options, second = resolve(Options(text_prompt="-", loudness="podcast", sample_rate=44_100)), babble(10)

    class Forgetting(Collected):
        def write(self, samples: np.ndarray, chapter: int) -> None:
            pass

    def peak(repeats: int) -> int:
        tracemalloc.start()
        master = Master(Forgetting(), options, Path("scratch"))
        for _ in range(repeats):
            master.write(second, 0)
        master.close(())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        master.discard()
        return found

    assert peak(5) < peak(2) + 1_000_000  # 30 s more are 2.9 MB of samples


def test_an_unfinished_one_leaves_nothing():
    collected = Collected()
    master = Master(collected, resolve(Options(text_prompt="-", loudness="ebu")), Path("scratch"))
    master.write(babble(1), 0)
    assert Path("scratch").exists()
    master.discard()
    assert not Path("scratch").exists() and collected.discarded and not collected.chapters


# ---- flags ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"loudness": "loud"}, "not one of off, ebu, podcast, audiobook or a number from -50 to -5"),
        ({"loudness": "3"}, "not one of"),
        ({"loudness": "nan"}, "not one of"),
        ({"loudness": "ebu", "gain_db": 3.0}, "--gain_db does nothing beside --loudness"),
        ({"sample_rate": 44_099}, "--sample_rate 44099 is none of those of wav"),
        ({"sample_rate": 44_100, "output_format": "opus"}, "48000"),
        ({"sample_rate": 96_000, "output_format": "mp3"}, "choose one of 8000"),
        ({"crossfade_ms": -1.0}, "between 0.0 and 1000.0"),
    ],
)
def test_what_cannot_be_done_is_refused(asked, message):
    with pytest.raises(UsageError, match=message):
        resolve(Options(text_prompt="-", **asked))


def test_a_program_may_give_the_loudness_as_a_number():
    assert resolve(Options(text_prompt="-", loudness=-17.5)).loudness == "-17.5"
    assert resolve(Options(text_prompt="-", loudness=-17)).loudness == "-17"
    assert resolve(Options(text_prompt="-", loudness="Podcast")).loudness == "Podcast"
