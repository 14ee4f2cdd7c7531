"""Long texts from Python: iterating over segments, cancelling, saving, resuming."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import VOICE, Recorder

from bark_infinity import Bark, FinishedSegment, Options, Voice, narrate
from bark_infinity.errors import TextError, UsageError, VoiceError
from bark_infinity.narration import ClipSource, Narration
from bark_infinity.options.resolve import resolve
from bark_infinity.run.recipe import Recipe

CHAPTER = "The first sentence is here. Here is a second one.\n\nChapter Two\n\nA new paragraph begins, and ends."
SHORT = Options(semantic_max_gen_duration_s=0.4, split_character_goal_length=20, fine_temp=0.0)


def content(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def fake_narration(engine: Recorder, n: int = 6, folder: str | None = None, **options) -> Narration:
    text = "\n".join(f"s{k}" for k in range(n))
    resolved = resolve(Options(text_prompt=text, split_each_text_prompt_by="line", **options))
    return Narration(ClipSource(resolved), Recipe.from_options(resolved, engine, VOICE), in_memory=folder is None)


def test_segments_are_yielded_before_the_next_is_generated():
    engine = Recorder()
    for number, segment in enumerate(fake_narration(engine), 1):
        assert isinstance(segment, FinishedSegment) and len(engine.spoken) == number
        assert segment.text == f"s{number - 1}" and int(segment.voice.semantic[0]) == number - 1
        assert segment.end - segment.start == pytest.approx(4.0) and len(segment.audio) == 96_000
        assert (
            (segment.audio == np.float32((number - 1) / 100)).all()
            and not segment.faults.get("quiet_dbfs")
            or number == 1
        )


def test_chapter_is_spoken_and_saved_in_any_format(bark: Bark):
    narration = narrate(bark, CHAPTER, seed=3, options=SHORT)
    assert "not finished" in repr(narration)
    segments = list(narration)
    assert [s.text for s in segments] == [p.text for p in narration.plan.segments] and len(segments) >= 4
    assert [s.pause.kind for s in narration.plan.segments][-2:] == ["paragraph", "paragraph"]
    assert segments[1].start == pytest.approx(segments[0].end + narration.plan.segments[0].pause.seconds)
    wav = narration.save("book/chapter.wav")
    assert wav == Path("book/chapter.wav") and soundfile.info(wav).frames == len(narration.audio)
    np.testing.assert_allclose(soundfile.read(wav)[0], narration.audio, atol=1 / 32_000)
    assert Voice.load("book/chapter.npz").digest() == narration.voice.digest()
    assert [s["text"] for s in content(wav)["segments"]] == [s.text for s in segments]
    assert narration.save("book/chapter.wav") == Path("book/chapter_1.wav")
    assert soundfile.info(narration.save("chapter.flac")).format == "FLAC"
    assert [s.start for s in narration] == [s.start for s in segments]  # iterating again gives the same segments


def test_save_generates_the_remaining_segments(bark: Bark):
    narration = narrate(bark, CHAPTER, seed=3, options=SHORT)
    next(iter(narration))
    path = narration.save("all.wav")
    assert len(narration.segments) == len(narration.plan.segments) == len(content(path)["segments"])


def test_cancelled_narration_with_a_folder_is_resumed(bark: Bark):
    whole = narrate(bark, CHAPTER, seed=3, options=SHORT)
    whole.save("whole.wav")
    one = narrate(bark, CHAPTER, seed=3, options=SHORT, folder="out")
    for segment in one:
        if segment.index == 1:
            one.cancel()
    assert "cancelled" in repr(one) and not list(Path("out").glob("*.wav"))
    two = narrate(bark, CHAPTER, seed=3, options=SHORT, folder="out")
    records = [segment.record for segment in two]
    assert [record.recalled for record in records][:2] == [True, True] and not records[-1].recalled
    assert two.path and content(two.path)["audio_sha256"] == content(Path("whole.wav"))["audio_sha256"]
    assert two.segments == [] and two.voice.digest() == whole.voice.digest()
    ogg = two.save("copy/chapter.ogg")
    assert content(ogg)["audio_sha256"] == content(two.path)["audio_sha256"]
    with pytest.raises(UsageError, match="kept in a folder"):
        _ = two.audio


def test_cancel_from_another_thread_interrupts_a_stage():
    class Waiting(Recorder):
        def stream(self, segments, settings, progress, rows):
            started.set()
            for step in range(200):
                progress("semantic", step, 200)
                cancelled.wait(0.05)
                self.steps = step
            yield from super().stream(segments, settings, progress, rows)

    started, cancelled = threading.Event(), threading.Event()
    engine = Waiting()
    narration = fake_narration(engine)

    def cancel() -> None:
        started.wait()
        narration.cancel()
        cancelled.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    assert list(narration) == [] and engine.steps < 100
    thread.join()
    with pytest.raises(UsageError, match="cancelled or failed before its end"):
        narration.save("x.wav")


def test_progress_is_reported(bark: Bark):
    seen = []
    list(narrate(bark, "One sentence.", seed=1, options=SHORT, progress=seen.append))
    assert {p.stage for p in seen} == {"semantic", "coarse", "fine"}


def test_invalid_arguments_raise_before_generating(bark: Bark):
    with pytest.raises(TextError, match="nothing to say"):
        narrate(bark, "...")
    with pytest.raises(VoiceError, match="no voice 'nobody_at_all'"):
        narrate(bark, CHAPTER, voice="nobody_at_all")
    with pytest.raises(UsageError, match="output_iterations is not for narrate"):
        narrate(bark, CHAPTER, options=Options(output_iterations=2))


@pytest.mark.parametrize("folder", [None, "out"])
def test_save_refuses_other_kinds_of_files_before_generating(folder):
    engine = Recorder()
    narration = fake_narration(engine, folder=folder)
    for ending in ("aac", "docx", "pdf", "json"):
        with pytest.raises(UsageError, match=rf"^x/y\.{ending} ends in \.{ending}, .*; choose one of wav, flac"):
            narration.save(f"x/y.{ending}")
    assert not engine.spoken and not Path("x").exists()


def test_save_keeps_dots_in_names():
    assert fake_narration(Recorder(), n=2).save("x/Vol. 2") == Path("x/Vol. 2.wav")


def test_voice_can_be_a_name_path_or_tokens(bark: Bark, make_voice):
    voice = make_voice(4.0)
    Path("custom_speakers").mkdir()
    voice.save("custom_speakers/ann.npz")
    sounds = [
        narrate(bark, "One sentence.", voice_argument, seed=1, options=SHORT).audio
        for voice_argument in (
            "ann",
            "custom_speakers/ann.npz",
            Path("custom_speakers/ann.npz"),
            voice,
            voice.prompts(),
        )
    ]
    for other in sounds[1:]:
        np.testing.assert_array_equal(other, sounds[0])


def test_docstring_example_runs(bark: Bark):
    lines = [line[8:] for line in narrate.__doc__.splitlines() if line.startswith("        ")]
    played: list[np.ndarray] = []
    names = {"chapter": CHAPTER, "play": played.append}
    exec("\n".join(lines).replace('Bark.load("demo")', "bark").replace('"demo_male"', "None"), names | {"bark": bark})
    assert played and Path("chapter.flac").exists()


def test_speak_refuses_texts_longer_than_one_segment(bark: Bark):
    with pytest.raises(TextError, match=r"one segment reads 256; speak it with narrate"):
        bark.speak("a b " * 200)


def test_subtitles_of_a_narration(demo):
    narration = narrate(demo, "[pause:1s] Hello there. [at:4s] Good morning.", seed=1, options=SHORT)
    srt = narration.subtitles("srt")
    assert srt.startswith("1\n00:00:01,000 --> ") and "\n2\n00:00:04,000 --> " in srt and "Good morning.\n" in srt
    assert narration.subtitles(by="word").count("-->") == 4
    with pytest.raises(UsageError, match="'txt' is not one of srt"):
        narration.subtitles("txt")
    kept = narrate(demo, "Hello there.", seed=1, folder="out", options=SHORT)
    with pytest.raises(UsageError, match="kept in a folder"):
        kept.subtitles()
