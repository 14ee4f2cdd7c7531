"""OpenAI's speech API: its own client, and copies of what Open WebUI and SillyTavern send, against a server with tones."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import av
import httpx
import numpy as np
import openai
import pytest
from fakes import voice_of
from speech_server import SEGMENT, SpeechServer, Tones, pitch_of, tone_of

from bark_infinity import Options, narrate
from bark_infinity.errors import BarkError, TextError, VoiceError
from bark_infinity.server.shared_engine import SharedEngine
from bark_infinity.server.speech_request import MAX_INPUT_LENGTH

TEXT = "One. Two. Three."
TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
WAIT_S = 20  # that nothing here should take


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with SpeechServer(tmp_path_factory.mktemp("output"), most_waiting=60) as running:
        yield running


@pytest.fixture
def server(running):
    """The same server for every test, without earlier speeches."""
    running.speeches.clear()
    running.before = lambda k, speech: None
    return running


@pytest.fixture(scope="module")
def running_client(running):
    with openai.OpenAI(api_key="none", base_url=f"{running.url}/v1", max_retries=0, timeout=WAIT_S) as made:
        yield made


@pytest.fixture
def client(server, running_client):
    return running_client


class Gate:
    """Lets segments through one by one."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)
        self.reached = threading.Event()

    def __call__(self, k: int, speech: Tones) -> None:
        if k < 0:
            return
        self.reached.set()
        while not self._open.acquire(timeout=0.01):
            if speech.closed.is_set():
                return

    def let(self, n: int) -> None:
        self.reached.clear()
        self._open.release(n)


def events(body: str) -> list[dict]:
    """The events of a stream of server-sent events."""
    lines = [line for line in body.split("\n\n") if line]
    assert all(line.startswith("data: ") and len(line) < 40_000 for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def sound(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2").astype(np.float32) / 32_768


# ---- speech ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [None, *TYPES])
def test_formats(client, format):
    asked = {} if format is None else {"response_format": format}
    answer = client.audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input=TEXT, **asked)
    assert answer.headers["content-type"] == TYPES[format or "mp3"] and "content-length" not in answer.headers
    data = answer.content
    if format == "pcm":
        samples, rate = sound(data), 24_000
    else:
        with av.open(io.BytesIO(data)) as file:
            samples = np.concatenate([frame.to_ndarray()[0].astype(np.float32) for frame in file.decode(audio=0)])
            rate = file.streams.audio[0].rate
    assert abs(len(samples) / rate - 1.5) < 0.1 and abs(pitch_of(samples, rate) - tone_of(TEXT)) < 2


def test_a_file_is_written(client, tmp_path):
    with client.audio.speech.with_streaming_response.create(
        model="demo", voice="demo_male", input=TEXT, response_format="wav"
    ) as answer:
        answer.stream_to_file(tmp_path / "speech.wav")
    with av.open(tmp_path / "speech.wav") as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == 3 * SEGMENT


def test_streaming_begins_with_the_first_segment(server, client):
    server.before = gate = Gate()
    gate.let(1)
    with client.audio.speech.with_streaming_response.create(
        model="demo", voice="demo_male", input=TEXT, response_format="pcm"
    ) as answer:
        parts = answer.iter_bytes(2 * SEGMENT)
        assert len(next(parts)) == 2 * SEGMENT  # the others are not made yet
        gate.let(2)
        assert sum(map(len, parts)) == 4 * SEGMENT


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_keeps_the_pitch(client, speed):
    data = client.audio.speech.create(
        model="demo", voice="demo_male", input=TEXT, response_format="pcm", speed=speed
    ).content
    assert abs(len(data) / 2 / 24_000 - 1.5 / speed) < 0.05
    assert abs(pitch_of(sound(data), 24_000) - tone_of(TEXT)) < 3


def test_events_have_the_same_sound(client):
    asked = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": TEXT, "response_format": "pcm"}
    whole = client.audio.speech.create(**asked).content
    with client.audio.speech.with_streaming_response.create(**asked, stream_format="sse") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        *deltas, done = events(answer.read().decode())
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == whole
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 3, "output_tokens": 112, "total_tokens": 115},
    }


def test_what_is_asked_reaches_the_engine(server, client):
    extra = {"seed": 7, "text_temp": 0.6, "waveform_temp": "0.5", "stable_mode_interval": 0, "script": "dialogue"}
    answer = client.audio.speech.with_raw_response.create(
        model="demo",
        voice={"id": "demo_male"},
        input=TEXT,
        instructions="Whisper.",
        extra_body={**extra, "stream": True},
    )
    (speech,) = server.speeches
    assert speech.text == TEXT and speech.voice == "demo_male"
    assert speech.options == {
        "seed": 7,
        "text_temp": 0.6,
        "waveform_temp": 0.5,
        "stable_mode_interval": 0,
        "script": "dialogue",
    }
    assert answer.headers["x-ignored-fields"] == "instructions, stream"


def test_markup_can_be_switched_off(server, client):
    for script in (False, True):
        client.audio.speech.create(
            model="demo", voice="alloy", input="Wait. [pause:2s] Go.", extra_body={"script": script}
        )
    off, on = server.speeches
    assert [event.text for event in off.text.events] == [on.text] == ["Wait. [pause:2s] Go."]
    assert off.options == on.options == {}


def test_fifty_clients_at_once(server, client):
    """Each gets its own speech, whole, while all of them are open."""
    everybody = threading.Barrier(50)

    def before(k: int, speech: Tones) -> None:
        if k == 1:
            everybody.wait(WAIT_S)

    server.before = before
    texts = [f"Text {k}. Its second sentence." for k in range(50)]

    def ask(text: str) -> bytes:
        return client.audio.speech.create(model="demo", voice="alloy", input=text, response_format="pcm").content

    with ThreadPoolExecutor(50) as pool:
        for text, data in zip(texts, pool.map(ask, texts), strict=True):
            assert len(data) == 4 * SEGMENT and abs(pitch_of(sound(data), 24_000) - tone_of(text)) < 1


def test_the_engines_own_speech(demo, tmp_path):
    """It is narrate's sound; what the text has wrong is an answer, and nobody is left in the engine."""
    voice_of(11).save(tmp_path / "mine.npz")
    short = {"semantic_max_gen_duration_s": 0.2, "split_character_goal_length": 20, "seed": 4}
    text = "The first sentence is here. Here is a second one.\n\nA new paragraph begins, and ends."
    with SharedEngine(demo) as engine, SpeechServer(tmp_path, engine, demo) as server:
        with openai.OpenAI(api_key="none", base_url=f"{server.url}/v1", max_retries=0) as client:
            asked = {"model": "demo", "voice": "mine", "response_format": "pcm", "extra_body": short}
            data = client.audio.speech.create(**asked, input=text).content
            whole = narrate(demo, text, voice_of(11), options=Options(**short)).audio
            assert len(data) == 2 * len(whole) and np.abs(sound(data) - np.clip(whole, -1, 1)).max() < 1e-4
            with client.audio.speech.with_streaming_response.create(
                **asked, input="Hi.", stream_format="sse"
            ) as answer:
                *_, done = events(answer.read().decode())
            assert all(count > 0 for count in done["usage"].values())
            for wrong, words in (("...", "say"), ("[pauze:1s] Hi.", "line 1"), ("[sound: /etc/passwd] Hi.", "upload")):
                with pytest.raises(openai.BadRequestError, match=words) as raised:
                    client.audio.speech.create(**asked, input=wrong)
                assert raised.value.param == "input"
        assert engine.statistics().clients == 0


# ---- errors ---------------------------------------------------------------------------------------------------------

ASKED = {"model": "demo", "voice": "demo_male", "input": TEXT}


@pytest.mark.parametrize(
    "changed, param, words",
    [
        ({"voice": "nobody"}, "voice", "demo_female"),
        ({"voice": "demo_femail"}, "voice", "did you mean demo_female"),
        ({"voice": "../demo_male"}, "voice", "no voice"),
        ({"voice": {"id": "/etc/passwd"}}, "voice", "no voice"),
        ({"voice": 3}, "voice", "string"),
        ({"voice": "v2/en_speaker_6"}, "voice", "no voice"),  # of another model
        ({"input": " \n"}, "input", "empty"),
        ({"input": "a" * (MAX_INPUT_LENGTH + 1)}, "input", "50000"),
        ({"input": None}, "input", "string"),
        ({"response_format": "m4a"}, "response_format", "'mp3'"),
        ({"speed": 5}, "speed", "4"),
        ({"stream_format": "websocket"}, "stream_format", "'sse'"),
        ({"sed": 3}, "sed", "seed"),
        ({"seed": "many"}, "seed", "whole number"),
        ({"output_dir": "/tmp"}, "output_dir", "not for clients"),
        ({"custom_audio_processing_function": "os:system"}, "custom_audio_processing_function", "not for clients"),
        ({"output_iterations": 3}, "output_iterations", "/v1/jobs"),
        ({"script": "latex"}, "script", "plain"),
        ({"history_prompt": "demo_male"}, "history_prompt", "/v1/jobs"),
    ],
)
def test_bad_requests(server, client, changed, param, words):
    with pytest.raises(openai.BadRequestError) as raised:
        client.audio.speech.create(**ASKED, extra_body=changed)
    assert raised.value.param == param and words in raised.value.message, raised.value.body
    assert raised.value.type == "invalid_request_error" and not server.speeches


def test_unknown_models(client):
    for ask in (
        lambda: client.audio.speech.create(**{**ASKED, "model": "gpt-4"}),
        lambda: client.models.retrieve("x/y"),
    ):
        with pytest.raises(openai.NotFoundError) as raised:
            ask()
        assert raised.value.code == "model_not_found" and "demo" in raised.value.message


def test_an_error_before_the_first_segment_is_an_answer(server, client):
    for k in (-1, 0):

        def fail(at: int, speech: Tones, k: int = k) -> None:
            if at == k:
                raise BarkError("it cannot be said")

        server.before = fail
        with pytest.raises(openai.BadRequestError, match="it cannot be said"):
            client.audio.speech.create(**ASKED)


@pytest.mark.parametrize("error, param", [(TextError, "input"), (VoiceError, "voice"), (BarkError, None)])
def test_errors_of_planning_name_the_field(server, client, error, param):
    def fail(k: int, speech: Tones) -> None:
        raise error("it cannot be said")

    server.before = fail
    with pytest.raises(openai.BadRequestError) as raised:
        client.audio.speech.create(**ASKED)
    assert raised.value.param == param


def test_a_later_error_breaks_the_answer(server, client):
    def fail(k: int, speech: Tones) -> None:
        if k == 1:
            raise BarkError("it cannot be said")

    server.before = fail
    with httpx.stream("POST", f"{server.url}/v1/audio/speech", json={**ASKED, "response_format": "pcm"}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    with client.audio.speech.with_streaming_response.create(**ASKED, stream_format="sse") as answer:
        *_, last = events(answer.read().decode())
    assert last["type"] == "error" and last["error"]["message"] == "it cannot be said"


def test_a_full_queue(tmp_path):
    with SpeechServer(tmp_path, most_waiting=2) as server, ThreadPoolExecutor(2) as pool:
        server.before = gate = Gate()
        with openai.OpenAI(api_key="none", base_url=f"{server.url}/v1", max_retries=0) as client:
            served = [pool.submit(client.audio.speech.create, **ASKED) for _ in range(2)]
            while len(server.speeches) < 2:
                gate.reached.wait(0.01)
            with pytest.raises(openai.RateLimitError) as raised:
                client.audio.speech.create(**ASKED)
            assert int(raised.value.response.headers["retry-after"]) > 0
            gate.let(6)
            assert all(answer.result(WAIT_S).content for answer in served)
            assert client.models.list()


def test_a_wrong_key(tmp_path):
    with SpeechServer(tmp_path, api_key="sesame") as server:
        for key, right in (("open", False), ("sesame", True)):
            with openai.OpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0) as client:
                if right:
                    assert client.audio.speech.create(**ASKED).content
                    continue
                with pytest.raises(openai.AuthenticationError):
                    client.audio.speech.create(**ASKED)


# ---- clients that go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_heard", [0, 1])
def test_a_speech_ends_when_its_client_goes(tmp_path, n_heard):
    """Before the first segment is finished, and after it; its place in the queue is free again."""
    with SpeechServer(tmp_path, most_waiting=1) as server:
        for k in range(3):
            server.before = gate = Gate()
            with contextlib.closing(http.client.HTTPConnection(server.url.removeprefix("http://"))) as line:
                line.request("POST", "/v1/audio/speech", json.dumps(ASKED), {"Content-Type": "application/json"})
                assert gate.reached.wait(WAIT_S)
                if n_heard:
                    gate.let(n_heard)
                    assert line.getresponse().read1()
            assert server.speeches[k].closed.wait(WAIT_S)


# ---- models and voices -------------------------------------------------------------------------------------------------


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert names == ["demo", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    assert client.models.retrieve("demo").owned_by == "bark-infinity"
    assert client.models.retrieve("gpt-4o-mini-tts-2025-12-15").id == "gpt-4o-mini-tts-2025-12-15"


def request(
    server: SpeechServer, method: str, path: str, headers: dict[str, str], body: str = ""
) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to a request as other programs write it."""
    with contextlib.closing(http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=WAIT_S)) as line:
        line.request(method, path, body or None, headers)
        answer = line.getresponse()
        return answer.status, answer.headers["content-type"], answer.read()


def test_open_webui(server):
    """Its lists of models and voices, and its request, which has no format: it takes what comes for an MP3."""
    _, _, models = request(server, "GET", "/v1/audio/models", {"Accept": "*/*", "User-Agent": "python-requests/2.32.5"})
    assert {"id": "demo", "name": "demo"} in json.loads(models)["models"]
    _, _, voices = request(server, "GET", "/v1/audio/voices", {"Accept": "*/*", "User-Agent": "python-requests/2.32.5"})
    names = {voice["id"]: voice["name"] for voice in json.loads(voices)["voices"]}
    assert {"demo_male", "demo_female", "alloy"} <= names.keys() and all(names.values())
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Bearer",
        "X-OpenWebUI-User-Name": "Ada",
        "X-OpenWebUI-User-Id": "9c2f",
        "X-OpenWebUI-User-Email": "ada@example.org",
        "X-OpenWebUI-User-Role": "admin",
        "User-Agent": "Python/3.11 aiohttp/3.12.15",
    }
    body = '{"input": "One. Two.", "voice": "alloy", "model": "tts-1"}'
    status, kind, data = request(server, "POST", "/v1/audio/speech", headers, body)
    assert status == 200 and kind == "audio/mpeg" and data[:2] == b"\xff\xf3"
    status, _, data = request(server, "POST", "/v1/audio/speech", headers, body.replace("alloy", "nobody"))
    assert status == 400 and json.loads(data)["error"]["message"]


def test_silly_tavern(server):
    """Its request, also to an address without a version."""
    body = '{"input":"One. Two.","response_format":"mp3","voice":"shimmer","speed":1,"model":"tts-1"}'
    headers = {"Content-Type": "application/json", "Authorization": "Bearer", "User-Agent": "node-fetch"}
    for path in ("/v1/audio/speech", "/audio/speech"):
        status, kind, data = request(server, "POST", path, headers, body)
        assert status == 200 and kind == "audio/mpeg" and data[:2] == b"\xff\xf3"
