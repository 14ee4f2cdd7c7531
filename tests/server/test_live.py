"""Speech while it is made: its pieces are narrate's sound, and closing it leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import VOICE, voice_of
from stepping import STEPS, TIMEOUT, Stepping

from bark_infinity import Options, narrate
from bark_infinity.errors import BarkError, DeviceError, EngineClosedError, TextError, UsageError, VoiceError
from bark_infinity.narration import ClipSource, Narration
from bark_infinity.options.resolve import resolve
from bark_infinity.run.recipe import Recipe
from bark_infinity.server.live import LiveSpeech, speak_live
from bark_infinity.server.shared_engine import SharedEngine
from bark_infinity.text.script import parse_script

TEXT = "The first sentence is here. Here is a second one.\n\nA new paragraph begins, and ends."
SHORT = {"semantic_max_gen_duration_s": 0.2, "split_character_goal_length": 20, "fine_temp": 0.0}


@pytest.fixture(scope="module")
def services(demo, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A server's, started with some settings."""
    folder = tmp_path_factory.mktemp("server")
    for k, name in enumerate(("usual", "other")):
        voice_of(10 + k).save(folder / f"{name}.npz")
    defaults = resolve(Options(output_dir=str(folder), semantic_temp=0.6, history_prompt="usual", resume=False))
    with SharedEngine(demo) as engine:
        yield SimpleNamespace(bark=demo, engine=engine, defaults=defaults, names=None)


def test_joined_pieces_are_the_sound_of_narrate(services, demo):
    options = {"seed": 4, "gain_db": -3.0, **SHORT}
    with speak_live(services, TEXT, options, "other") as speech:
        assert speech.n_characters == 81 and speech.n_ids > 60 and speech.seconds == 0.0
        pieces = list(speech)
    whole = narrate(demo, TEXT, voice_of(11), options=Options(semantic_temp=0.6, **options))
    np.testing.assert_array_equal(np.concatenate([piece.audio for piece in pieces]), whole.audio)
    assert [(piece.index, piece.text, piece.start) for piece in pieces] == [
        (segment.index, segment.text, segment.start) for segment in whole
    ]
    assert speech.n_segments == len(pieces) == 3 and speech.seconds == len(whole.audio) / 24_000
    assert services.engine.statistics().clients == 0


def test_scripts_and_files_are_spoken_with_settings_above_the_servers(services, demo, tmp_path):
    text = "+++\n[settings]\nsemantic_temp = 0.9\nsemantic_max_gen_duration_s = 0.2\n+++\nOne sentence.\n"
    path = tmp_path / "text.txt"
    path.write_text(text)
    (whole,) = narrate(demo, text, voice_of(10), seed=3)
    for spoken in (text, path, parse_script(text, "tags", {})):
        ((piece,),) = [list(speak_live(services, spoken, {"seed": 3}))]
        np.testing.assert_array_equal(piece.audio, whole.sound)
    ((longer,),) = [list(speak_live(services, text, {"semantic_max_gen_duration_s": 0.4}))]
    assert len(longer.audio) > len(whole.sound), "the request's are above those of the script"


@pytest.mark.parametrize(
    ("text", "options", "voice", "error"),
    [
        (" ", {}, None, TextError),
        ("Hello.", {"config": "x.toml"}, None, UsageError),
        ("Hello.", {"output_iterations": 2}, None, UsageError),
        ("Hello.", {"history_prompt": "usual"}, "other", UsageError),
        ("Hello.", {}, "nobody.npz", VoiceError),
        ("Hello." + "[pause:3600s]" * 2 + "You.", {}, None, TextError),
        ("[chapter: ]", {"script": "tags"}, None, BarkError),
    ],
)
def test_what_cannot_be_spoken_is_said_at_once_and_leaves_nothing(services, text, options, voice, error):
    with pytest.raises(error):
        speak_live(services, text, options, voice)
    assert services.engine.statistics().clients == 0


def live(shared: SharedEngine, *texts: str) -> LiveSpeech:
    options = resolve(Options(text_prompt="\n".join(texts), split_each_text_prompt_by="line", seed=1))
    client = shared.client(urgent=True)
    recipe = Recipe.from_options(options, client, VOICE)
    return LiveSpeech(Narration(ClipSource(options), recipe, in_memory=True), client)


def test_the_first_segment_does_not_wait_for_others():
    engine = Stepping()
    with SharedEngine(engine) as shared:
        assert [piece.text for piece in live(shared, "one", "two", "three")] == ["one", "two", "three"]
    assert engine.batches == [["one"], ["two", "three"]]


@pytest.mark.parametrize(("length", "urgent"), [(990, True), (1_010, False)])
def test_a_long_speech_is_not_urgent_after_its_first_segment(length, urgent):
    texts = [f"{k} " + "x" * (length // 10 - 2) for k in range(10)]
    with SharedEngine(Stepping()) as shared:
        speech = live(shared, *texts)
        assert speech._client.urgent
        next(speech)
        assert speech._client.urgent is urgent
        assert len(list(speech)) == 9


def test_closing_from_another_thread_ends_within_a_step():
    def on_step(texts: list[str], step: int) -> None:
        if texts[0] == "two" and step == 3:
            speech.close()

    threads = set(threading.enumerate())
    engine = Stepping(on_step=on_step)
    with SharedEngine(engine) as shared:
        speech = live(shared, "one", "two", "three")
        assert [piece.text for piece in speech] == ["one"]
        assert list(speech) == []
        assert len(engine.steps) == STEPS + 4 and shared.statistics().clients == 0
        assert shared.statistics().running == shared.statistics().queued == 0
    assert set(threading.enumerate()) <= threads


def test_two_hundred_closed_speeches_leave_nothing():
    """Before they begin, between two segments, or while one is waited for."""
    threads = set(threading.enumerate())
    with SharedEngine(Stepping()) as shared:
        for k in range(200):
            speech = live(shared, f"{k}", "more")
            if k % 3 == 1:
                next(speech)
            elif k % 3 == 2:
                reader = threading.Thread(target=list, args=(speech,))
                reader.start()
            speech.close()
            if k % 3 == 2:
                reader.join(TIMEOUT)
            speech.close()
            assert list(speech) == []
        statistics = shared.statistics()
        assert statistics.clients == statistics.queued == 0
        assert next(live(shared, "after")).text == "after"
    assert set(threading.enumerate()) <= threads


def test_a_segment_that_cannot_be_made_ends_the_speech():
    class Broken(Stepping):
        def stream(self, segments, settings, progress, rows):
            if any(one.text == "two" for one in segments):
                raise ValueError("broken")
            yield from super().stream(segments, settings, progress, rows)

    with SharedEngine(Broken()) as shared:
        speech = live(shared, "one", "two", "three")
        assert next(speech).text == "one"
        with pytest.raises(DeviceError, match="broken"):
            list(speech)
        assert list(speech) == [] and shared.statistics().clients == 0


def test_an_engine_that_is_closed_ends_the_speech_with_an_error():
    shared = SharedEngine(Stepping())
    speech = live(shared, "one", "two")
    next(speech)
    shared.close()
    with pytest.raises(EngineClosedError):
        next(speech)
