"""One engine for many jobs: nobody's results change, nobody waits for ever, and faults stay with their segments."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes import Hashing, plan, recipe_of, text_of
from stepping import STEPS, TIMEOUT, Stepping

from bark_infinity.bark import Generation, Segment, Settings
from bark_infinity.errors import BarkError, DeviceError, EngineClosedError, VoiceError
from bark_infinity.run.clips import Clip
from bark_infinity.run.engine import Fleet
from bark_infinity.run.fleet_scheduler import make_scheduler
from bark_infinity.run.planning import ClipPlan
from bark_infinity.run.scheduler import Scheduler
from bark_infinity.seeds import Seeds
from bark_infinity.server import engine_client, shared_engine
from bark_infinity.server.engine_client import EngineClient
from bark_infinity.server.engine_statistics import steps_of_batch
from bark_infinity.server.shared_engine import SharedEngine
from bark_infinity.stages.semantic import SemanticSettings

SETTINGS = Settings()


def segment(text: str, seed: int = 0, settings: Settings | None = None) -> Segment:
    return Segment(text, seeds=Seeds(seed), settings=settings)


def submit(client: EngineClient, *texts: str) -> dict[int, str]:
    return {client.submit(segment(text), SETTINGS): text for text in texts}


def collect(client: EngineClient, n: int) -> dict[int, Generation | BarkError]:
    finished = [client.next_finished(lambda _: None) for _ in range(n)]
    return dict(one for one in finished if one is not None)


def alone(*texts: str) -> list[bytes]:
    """The tokens of segments that no other one is beside."""
    segments = [segment(text) for text in texts]
    return [generation.voice.fine.tobytes() for _, generation in Hashing().stream(segments, SETTINGS, _nothing, 4)]


def tokens(results: dict[int, Generation | BarkError]) -> list[bytes]:
    """In the order in which they were submitted."""
    return [result.voice.fine.tobytes() for _, result in sorted(results.items()) if isinstance(result, Generation)]


def _nothing(*_: object) -> None:
    pass


@pytest.fixture
def held(monkeypatch) -> Iterator[Callable[..., tuple[SharedEngine, Callable[[], None]]]]:
    """Makes a shared engine that is busy with a batch of its own until it is let go: what is submitted meanwhile waits."""
    monkeypatch.setattr(shared_engine, "_GATHER_S", 0.0)
    made: list[tuple[SharedEngine, threading.Event]] = []

    def make(engine: Hashing, **options) -> tuple[SharedEngine, Callable[[], None]]:
        begun, go = threading.Event(), threading.Event()
        stream = engine.stream

        def waiting(segments, settings, progress, rows):
            if text_of(segments[0]) == "hold":
                begun.set()
                assert go.wait(TIMEOUT)
                return iter_closed(segments)
            return stream(segments, settings, progress, rows)

        def iter_closed(segments):
            yield from ((k, engine._speak(one, SETTINGS)) for k, one in enumerate(segments))

        engine.stream = waiting  # type: ignore[method-assign]
        shared = SharedEngine(engine, clock=getattr(engine, "clock", lambda: 0.0), **options)
        made.append((shared, go))
        submit(shared.client(), "hold")
        assert begun.wait(TIMEOUT)
        return shared, go.set

    yield make
    for shared, go in made:
        go.set()
        shared.close()


def digests(results: Sequence[object]) -> dict[str, str]:
    return {result.plan.text: result.audio_sha256 for result in results if isinstance(result, Clip)}


def clips(job: int, n: int = 2, segments: int = 6) -> list[ClipPlan]:
    return [
        plan([f"job {job} clip {k} segment {s}" for s in range(segments)], single_starting_seed=k) for k in range(n)
    ]


@pytest.mark.parametrize("interval", [0, 1, 3])
def test_jobs_side_by_side_get_the_results_of_each_alone(interval):
    jobs = [clips(job) for job in range(6)]
    local = [digests(list(Scheduler(recipe_of(Hashing(), stable_mode_interval=interval), 4).run(job))) for job in jobs]
    with SharedEngine(Stepping()) as shared, ThreadPoolExecutor(6) as threads:

        def run(job: int) -> dict[str, str]:
            with shared.client(urgent=job % 3 == 0) as client:
                assert isinstance(client, Fleet)
                recipe = recipe_of(client, stable_mode_interval=interval)
                return digests(list(make_scheduler(recipe).run(jobs[job])))

        assert list(threads.map(run, range(6))) == local
        done = shared.statistics()
    assert done.segments == 72 and done.clients == done.queued == done.running == 0 and done.sound_s == 72.0


def test_batches_are_filled_by_all_clients_in_turn(held):
    engine = Stepping(rows=2)
    shared, go = held(engine)
    book, *others = [shared.client() for _ in range(4)]
    submit(book, *(f"book {k}" for k in range(6)))
    for k, other in enumerate(others):
        submit(other, f"next {k}")
    go()
    assert len(collect(book, 6)) == 6
    assert engine.batches == [
        ["book 0", "next 0", "next 1", "next 2"],
        ["book 1", "book 2", "book 3", "book 4"],
        ["book 5"],
    ]


def test_segments_of_a_client_with_precedence_go_first_whenever_it_gets_it(held):
    engine = Stepping(rows=1)
    shared, go = held(engine)
    one, two, three = [shared.client() for _ in range(3)]
    for name, client in (("one", one), ("two", two), ("three", three)):
        submit(client, *(f"{name} {k}" for k in range(3)))
    three.precedence, two.precedence = -2.0, -1.0  # after they were queued
    go()
    for client in (one, two, three):
        assert len(collect(client, 3)) == 3
    assert [sorted(batch) for batch in engine.batches] == [
        ["three 0", "three 1"],
        ["three 2", "two 0"],
        ["two 1", "two 2"],
        ["one 0", "one 1"],
        ["one 2"],
    ]


def test_batch_fill_with_fifty_clients(held):
    """Segments of 1 to 4 s, two of each client."""
    engine = Stepping(rows=4)
    shared, go = held(engine)
    made = [shared.client(urgent=k % 2 == 0) for k in range(50)]
    random = np.random.default_rng(1)
    expected: list[list[bytes]] = [[] for _ in made]
    for turn, (k, client) in itertools.product(range(2), enumerate(made)):
        seconds = random.uniform(1, 4)
        settings = Settings(SemanticSettings(max_gen_duration_s=seconds))
        spoken = segment(f"{turn} of {k}".ljust(round(20 * seconds), "!"), settings=settings)
        client.submit(spoken, SETTINGS)
        expected[k].append(engine._speak(spoken, settings).voice.fine.tobytes())
    go()
    assert [tokens(collect(client, 2)) for client in made] == expected
    assert shared.statistics().fill > 0.85


@pytest.mark.parametrize(
    ("lengths", "rows", "steps"), [([5], 4, 5), ([5, 3, 2, 4], 2, 9), ([], 3, 0), ([3, 3, 3], 3, 3)]
)
def test_rows_that_end_are_replaced(lengths, rows, steps):
    assert steps_of_batch(lengths, rows) == steps


def test_urgent_segments_interrupt_a_batch_within_a_step(held):
    def on_step(texts: list[str], step: int) -> None:
        if texts[0] == "book 0" and step == 3:
            submit(urgent, "now")

    engine = Stepping(on_step=on_step)
    shared, go = held(engine)
    book, urgent = shared.client(), shared.client(urgent=True)
    submit(book, "book 0", "book 1")
    go()
    assert tokens(collect(urgent, 1)) == alone("now")
    assert tokens(collect(book, 2)) == alone("book 0", "book 1")
    order = [texts[0] for texts, _ in engine.steps]
    assert order == ["book 0"] * 4 + ["now"] * STEPS + ["book 0"] * (STEPS - 4)


def test_without_pre_emption_urgent_segments_are_next(held):
    def on_step(texts: list[str], step: int) -> None:
        if texts[0] == "book 0" and step == 3:
            submit(urgent, "now")

    engine = Stepping(rows=1, on_step=on_step)
    shared, go = held(engine, preempts=False)
    book, urgent = shared.client(), shared.client(urgent=True)
    submit(book, "book 0", "book 1", "book 2")
    go()
    collect(book, 3)
    assert engine.batches == [["book 0", "book 1"], ["now"], ["book 2"]]


@pytest.mark.parametrize("preempts", [True, False])
def test_others_get_a_quarter_of_the_time_while_urgent_work_is_endless(held, preempts):
    made = itertools.count()

    def on_step(texts: list[str], step: int) -> None:
        if "urgent" in texts[0] and step == 0 and not book_done.is_set():
            submit(urgent, *(f"urgent {next(made)}" for _ in range(4)))

    book_done = threading.Event()
    engine = Stepping(rows=1, on_step=on_step)
    shared, go = held(engine, preempts=preempts)
    book, urgent = shared.client(), shared.client(urgent=True)
    submit(urgent, "urgent")
    submit(book, *(f"book {k}" for k in range(20)))
    go()
    while len(collect(book, 1)) and book._tickets:
        pass
    book_done.set()
    of_book = [k for k, (texts, _) in enumerate(list(engine.steps)) if texts[0].startswith("book")]
    # Up to the end of the urgent batch behind the book; the engine went on while this thread learned of the book's end.
    seconds, n = len(of_book), of_book[-1] + 1 + STEPS
    assert seconds == 10 * STEPS and 0.22 * n < seconds < 0.5 * n


def test_memory_that_does_not_suffice_halves_the_batch(held):
    class Small(Stepping):
        """Has memory for two rows, and for none of a segment that is huge."""

        def stream(self, segments, settings, progress, rows):
            texts = [text_of(one) for one in segments]
            tried.append((texts, rows))
            if min(rows, len(texts)) > 2 or any("huge" in text for text in texts):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            yield from super().stream(segments, settings, progress, rows)

    tried: list[tuple[list[str], int]] = []
    shared, go = held(Small(rows=4))
    book, poor = shared.client(), shared.client()
    submit(book, *(f"book {k}" for k in range(6)))
    submit(poor, "huge")
    go()
    assert tokens(collect(book, 6)) == alone(*(f"book {k}" for k in range(6)))
    (error,) = collect(poor, 1).values()
    assert isinstance(error, DeviceError) and "too little memory" in str(error)
    assert [rows for texts, rows in tried if len(texts) == 7] == [4, 2, 1]


@pytest.mark.parametrize("error", [VoiceError("the voice was made for another model"), ValueError("poison")])
@pytest.mark.parametrize("late", [False, True])
def test_an_error_of_one_segment_is_its_clients_alone(held, error, late):
    class Picky(Stepping):
        def stream(self, segments, settings, progress, rows):
            poison = [k for k, one in enumerate(segments) if "poison" in text_of(one)]
            if poison and not late:
                raise error
            for place, generation in super().stream(segments, settings, progress, rows):
                if place in poison:
                    raise error
                yield place, generation

    shared, go = held(Picky(rows=4))
    good, bad, later = (shared.client() for _ in range(3))
    submit(good, "one", "two", "three")
    submit(bad, "poison", "four")
    go()
    assert tokens(collect(good, 3)) == alone("one", "two", "three")
    results = collect(bad, 2)
    assert tokens(results) == alone("four") and isinstance(results[0], BarkError)
    assert str(error) in str(results[0]) and (results[0] is error) == isinstance(error, BarkError)
    submit(later, "five")
    assert tokens(collect(later, 1)) == alone("five")


def test_a_fault_of_the_engines_thread_reaches_all_who_wait_and_it_goes_on(held, monkeypatch):
    shared, go = held(Stepping())
    clients = [shared.client(urgent) for urgent in (True, False)]
    for client in clients:
        submit(client, "one", "two")
    take = SharedEngine._take_batch
    monkeypatch.setattr(SharedEngine, "_take_batch", lambda *_: 1 / 0)
    go()
    for client in clients:
        errors = collect(client, 2).values()
        assert all(isinstance(error, DeviceError) and "ZeroDivisionError" in str(error) for error in errors)
    monkeypatch.setattr(SharedEngine, "_take_batch", take)
    for client in clients:
        submit(client, "three")
        assert tokens(collect(client, 1)) == alone("three")


def test_segments_with_different_settings_share_a_batch_as_large_as_the_smallest(held):
    class Rows(Stepping):
        def rows_at_once(self, settings):
            return 1 if settings.negative_text else 4

    warm, steered = Settings(SemanticSettings(temperature=1.1)), Settings(negative_text="no")
    engine = Rows()
    shared, go = held(engine)
    one, two = shared.client(), shared.client()
    for settings in (warm, SETTINGS):
        one.submit(segment("plain"), settings)
    two.submit(segment("own", settings=warm), SETTINGS)
    for _ in range(2):
        two.submit(segment("steered"), steered)
    go()
    expected = [warm, SETTINGS], [warm, steered, steered]
    for client, text, own in zip((one, two), (["plain"] * 2, ["own", "steered", "steered"]), expected, strict=True):
        segments = [segment(own_text, settings=settings) for own_text, settings in zip(text, own, strict=True)]
        made = [g.voice.fine.tobytes() for _, g in Hashing().stream(segments, SETTINGS, _nothing, 4)]
        assert tokens(collect(client, len(segments))) == made
    assert engine.batches == [["plain", "own", "plain"], ["steered", "steered"]]


def test_the_engines_thread_alone_computes(held):
    """Decoding for many jobs, while a batch is generated."""
    codes = [np.random.default_rng(k).integers(0, 1024, (8, 10)) for k in range(8)]
    engine = Stepping()
    shared, go = held(engine)
    submit(shared.client(), "book")
    clients = [shared.client(urgent=k % 2 == 0) for k in range(8)]
    with ThreadPoolExecutor(8) as threads:
        sounds = [threads.submit(client.decode, [own]) for client, own in zip(clients, codes, strict=True)]
        go()
        for sound, own in zip(sounds, codes, strict=True):
            np.testing.assert_array_equal(sound.result(TIMEOUT)[0], Hashing().decode([own])[0])
    np.testing.assert_array_equal(shared.decode(codes)[3], Hashing().decode(codes)[3])
    assert engine.threads == {"engine"}
    with pytest.raises(TypeError):
        shared.decode([None])  # type: ignore[list-item]
    assert len(shared.decode(codes)) == 8


def test_withdrawn_segments_never_begin(held):
    engine = Stepping()
    shared, go = held(engine)
    book = shared.client()
    numbers = submit(book, "one", "two", "three")
    book.withdraw(1)
    assert shared.statistics().queued == 2
    go()
    assert tokens(collect(book, 2)) == alone("one", "three")
    assert engine.batches == [["one", "three"]]
    for number in (*numbers, 99):
        book.withdraw(number)


@pytest.mark.parametrize("closes", [True, False])
def test_a_batch_that_nobody_needs_ends_within_a_step(held, closes):
    def on_step(texts: list[str], step: int) -> None:
        if texts[0] == "one" and step == 3:
            submit(three, "three")
            one.close() if closes else one.withdraw(0)
        elif texts[0] == "one" and step == 4:
            two.withdraw(0)

    engine = Stepping(on_step=on_step)
    shared, go = held(engine)
    one, two, three = (shared.client() for _ in range(3))
    submit(one, "one")
    submit(two, "two")
    go()
    assert tokens(collect(three, 1)) == alone("three")
    assert [texts for texts, _ in engine.steps] == [["one", "two"]] * 5 + [["three"]] * STEPS
    if closes:
        with pytest.raises(EngineClosedError):
            one.submit(segment("more"), SETTINGS)


def test_closing_ends_within_a_step_and_wakes_all_who_wait():
    begun, go = threading.Event(), threading.Event()

    def on_step(texts: list[str], step: int) -> None:
        if step == 2:
            begun.set()
            assert go.wait(TIMEOUT)

    engine = Stepping(on_step=on_step)
    shared = SharedEngine(engine)
    book, urgent, idle = shared.client(), shared.client(True), shared.client()
    submit(book, "book")
    assert begun.wait(TIMEOUT)
    submit(urgent, "now")
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(collect, client, 1) for client in (book, urgent, idle)]
        waiting.append(threads.submit(shared.decode, [np.zeros((8, 3), int)]))
        closing = threads.submit(shared.close)
        while not shared._closed:
            pass
        go.set()
        closing.result(TIMEOUT)
        for future in waiting:
            with pytest.raises(EngineClosedError):
                future.result(TIMEOUT)
    assert len(engine.steps) == 3
    for call in (shared.client, lambda: shared.decode([]), lambda: submit(book, "more")):
        with pytest.raises(EngineClosedError):
            call()
    shared.close()


def test_a_closed_client_wakes_its_thread():
    with SharedEngine(Stepping()) as shared, ThreadPoolExecutor(1) as thread:
        client = shared.client()
        seen = threading.Event()
        waiting = thread.submit(client.next_finished, lambda _: seen.set())
        assert seen.wait(TIMEOUT)
        client.close()
        with pytest.raises(EngineClosedError):
            waiting.result(TIMEOUT)


def test_an_urgent_client_has_room_for_one_segment_until_its_first_is_finished(held):
    shared, go = held(Stepping(rows=2))
    urgent, book = shared.client(urgent=True), shared.client()
    assert (urgent.room, book.room) == (1, 8)
    submit(urgent, "one")
    submit(book, "one", "two")
    assert (urgent.room, book.room) == (0, 6)
    go()
    collect(urgent, 1)
    assert urgent.room == 8
    urgent.urgent = False
    assert not urgent.urgent


def test_a_client_streams_as_an_engine_does():
    texts = [f"s{k}" for k in range(9)]
    with SharedEngine(Stepping()) as shared, shared.client() as client:
        segments = [segment(text) for text in texts]
        made = dict(client.stream(segments, SETTINGS, _nothing, None))
        stream = client.stream(segments, SETTINGS, _nothing, None)
        next(stream)
        stream.close()
        assert shared.statistics().clients == 1
    assert [made[k].voice.fine.tobytes() for k in range(9)] == alone(*texts)


def test_a_waiting_client_is_told_of_progress_and_looks_up(held, monkeypatch):
    monkeypatch.setattr(engine_client, "_LOOK_S", 0.001)
    shared, go = held(Stepping())
    client = shared.client()
    submit(client, "one", "two")
    seen = []
    assert client.next_finished(seen.append, lambda: len(seen) == 3) is None
    assert [(one.workers, one.busy, one.queued, one.running) for one in seen] == [(1, 0, 2, 0)] * 3
    go()
    collect(client, 2)
    assert client.progress().segments_per_s > 0
