"""What losing nothing costs: keeping segments, and going on with them, against the length of a text. No model is loaded.

    python benchmarks/journal.py --segments 500 1000 2500 5000

Segments of 10 s with random tokens stand for a model's. Each length is a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # these import torch
    from bark_infinity.bark import Generation, Segment, Settings, StageProgress
    from bark_infinity.voices.history import History

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
FRAMES, SEMANTIC = 750, 499  # of 10 s


class NoModel:
    """Stands for a Bark: hands out the same random segment for every text, at once."""

    name, identity = "no model", "no model"

    def __init__(self) -> None:
        from bark_infinity.bark import Generation
        from bark_infinity.model.spec import BarkSpec
        from bark_infinity.voices.voice import Voice

        random = np.random.default_rng(0)
        fine = random.integers(0, 1024, (8, FRAMES))
        self.spec = BarkSpec()
        self.sound = np.zeros(FRAMES * 320, np.float32)
        taken = dict.fromkeys(("semantic", "coarse", "fine", "codec"), 0.0)
        self.segment = Generation(Voice(random.integers(0, 10_000, SEMANTIC), fine[:2], fine), self.sound, 0, taken)

    def describe_stages(self) -> dict[str, dict[str, str]]:
        return {}

    def encode(self, text: str) -> list[int]:
        return [1]

    def check_history(self, history: History) -> None:
        """Any will do."""

    def rows_at_once(self, settings: Settings) -> int:
        return 16

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> Generator[tuple[int, Generation], None, None]:
        for place in range(len(segments)):
            yield place, self.segment

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self.sound for _ in codes]


def run_once(n: int, folder: Path, stop_at: int | None) -> float:
    """Seconds that a run of n segments takes; it is left when `stop_at` of them are made."""
    from bark_infinity.options.resolve import resolve
    from bark_infinity.options.table import Options
    from bark_infinity.output.clip_files import clip_keys, save_clips
    from bark_infinity.run.journal import RunJournal
    from bark_infinity.run.planning import plan_clips
    from bark_infinity.run.recipe import Recipe

    text = "\n".join(f"This is line {k} of a long text." for k in range(n))
    options = resolve(Options(text_prompt=text, split_each_text_prompt_by="line", seed=1, check_segments="off"))
    start = time.perf_counter()
    recipe = Recipe.from_options(options, NoModel())
    plans, _ = plan_clips([text], options, 0)
    journal = next(RunJournal.unfinished(folder, clip_keys(options, recipe)), None)
    assert journal is None or journal.belongs_to(plans)
    results = save_clips(recipe, plans, folder, options, journal)
    for done, _ in enumerate(results, 1):
        if done == stop_at:
            break
    results.close()
    return time.perf_counter() - start


def measure(n: int) -> None:
    """Print a row for n segments: seconds to make all but one, seconds to go on with them, peak memory."""
    with tempfile.TemporaryDirectory() as name:
        made = run_once(n, Path(name), n - 1)
        went_on = run_once(n, Path(name), None)
        whole = sum(path.stat().st_size for path in Path(name).glob("*.segments.npz"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    cells = [f"{made:.1f}", f"{1e3 * made / n:.1f}", f"{went_on:.1f}", f"{1e3 * went_on / n:.1f}", f"{peak:,.0f}"]
    print(f"| {n:,} | {' | '.join(cells)} | {whole / 2**20:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--segments", type=int, nargs="+", default=[500, 1000, 2500, 5000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        measure(args.one)
        return
    print("| segments | made and kept, s | ms each | gone on with, s | ms each | peak memory, MiB | tokens, MiB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for n in args.segments:
        subprocess.run([sys.executable, __file__, "--one", str(n)], check=True)


if __name__ == "__main__":
    main()
