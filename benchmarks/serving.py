"""How long clients wait for the first sound of a short text while a book is at work, with and without interrupting the book.

    python benchmarks/serving.py                                  # 50 clients of the demo, in about 15 minutes
    python benchmarks/serving.py --clients 4 --requests 1 --rows 4   # a first look

All clients speak at once, each one text after another. *First sound* is from the call to the first samples. *Fill* is the
share of all rows' steps that made something; *book* its share of the engine's time; *real time* is seconds of sound in a
second, of clients and book together. Without interruptions a short text waits until the book's batch has ended.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bark_infinity import Bark  # noqa: E402
from bark_infinity.errors import EngineClosedError  # noqa: E402
from bark_infinity.model.devices import use_physical_cores  # noqa: E402
from bark_infinity.narration import ClipSource, Narration, recipe_of  # noqa: E402
from bark_infinity.options.resolve import resolve  # noqa: E402
from bark_infinity.options.table import Options  # noqa: E402
from bark_infinity.run.program_options import as_loaded  # noqa: E402
from bark_infinity.server.engine_statistics import EngineStatistics  # noqa: E402
from bark_infinity.server.live import speak_live  # noqa: E402
from bark_infinity.server.shared_engine import SharedEngine  # noqa: E402

_SENTENCES = Path(__file__).with_name("plain_sentences.txt")
_VOICE = "demo_male"
_BOOK_BEGINS_S = 0.5  # before the clients


@dataclass(frozen=True)
class Measured:
    """Seconds to each first sound, and what the engine did meanwhile."""

    waits: Sequence[float]
    engine: EngineStatistics

    @property
    def p95(self) -> float:
        """The wait of the slowest of 20 requests."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(0.95 * len(self.waits)))]

    @property
    def book(self) -> float:
        """The share of the engine's time that was the book's."""
        return 1 - self.engine.urgent_s / self.engine.busy_s


def measure(bark: Bark, clients: int, requests: int, rows: int | None, preempts: bool, with_book: bool) -> Measured:
    """Let all clients speak at once, each `requests` texts one after the other, beside a book without an end."""
    sentences = _SENTENCES.read_text(encoding="utf-8").splitlines()
    options = resolve(as_loaded(Options(text_prompt="x", history_prompt=_VOICE), bark))
    with SharedEngine(bark, rows, preempts) as engine, ThreadPoolExecutor(clients) as threads:
        services = SimpleNamespace(bark=bark, engine=engine, defaults=options, names=None)
        book = threading.Thread(target=_read_book, args=(bark, engine, sentences))
        if with_book:
            book.start()
            time.sleep(_BOOK_BEGINS_S)
        texts = itertools.islice(itertools.cycle(sentences), clients * requests)
        waits = list(threads.map(lambda text: _first_sound(services, text), texts))
        done = engine.statistics()
    if with_book:
        book.join()
    return Measured(waits, done)


def _first_sound(services: SimpleNamespace, text: str) -> float:
    """Speak a text to its end. Returns the seconds until its first samples were there."""
    start, first = time.perf_counter(), None
    with speak_live(services, text, {"seed": 1}) as speech:
        for piece in speech:
            if first is None and len(piece.audio):
                first = time.perf_counter() - start
    return time.perf_counter() - start if first is None else first


def _read_book(bark: Bark, engine: SharedEngine, sentences: Sequence[str]) -> None:
    """Speak a text that has no end before the engine has."""
    text = " ".join(sentences * 20)
    source = ClipSource(resolve(as_loaded(Options(text_prompt=text, history_prompt=_VOICE, seed=2), bark)))
    with (
        engine.client() as client,
        closing(Narration(source, recipe_of(source, bark, engine=client), in_memory=True)) as narration,
    ):
        try:
            for _ in narration:
                narration.segments.clear()
        except EngineClosedError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=2, help="of each client, one after the other")
    parser.add_argument("--rows", type=int, default=None, help="of a batch; as many as fit if not given")
    parser.add_argument("--model", default="demo")
    args = parser.parse_args()
    use_physical_cores()
    bark = Bark.load(args.model)
    bark.speak("Once for all that is made at the first call.", _VOICE, seed=1)
    print(f"{args.clients} clients at once, {args.requests} short texts each, {bark!r}\n")
    print("| | first sound, p50 | p95 | fill | book | real time | batches |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    cases = {
        "no book": (True, False),
        "book is interrupted": (True, True),
        "book is not interrupted": (False, True),
    }
    for name, (preempts, with_book) in cases.items():
        found = measure(bark, args.clients, args.requests, args.rows, preempts, with_book)
        speed = found.engine.sound_s / found.engine.busy_s
        waits = f"{statistics.median(found.waits):.2f} s | {found.p95:.2f} s"
        done = f"{found.engine.fill:.0%} | {found.book:.0%} | {speed:.1f}x | {found.engine.batches}"
        print(f"| {name} | {waits} | {done} |", flush=True)


if __name__ == "__main__":
    main()
