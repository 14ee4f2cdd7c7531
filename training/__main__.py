"""`python -m training all`, or one stage of it: see the README beside this file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from . import coarse, codec, decoder, export, fine, semantic, speech

DEMO = Path(__file__).parents[1] / "bark_infinity" / "assets" / "demo"


def _export(folder: Path) -> None:
    export.export(folder, DEMO)
    export.voices(folder, DEMO / "voices")


STAGES: dict[
    str, tuple[Callable[[Path], None], str | None]
] = {  # and the file whose existence shows that it has finished
    "pronounce": (speech.pronounce, "short.npz"),
    "speak": (speech.speak, "clips.cuts.npz"),
    "code": (codec.code, "codes.npz"),
    "semantic": (semantic.learn, None),  # these resume from their saved state, and end at once after their last step
    "decoder": (decoder.learn, None),
    "coarse": (coarse.learn, None),
    "fine": (fine.learn, None),
    "export": (_export, None),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one stage, or all that have not finished yet."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument("--folder", type=Path, default=Path("training/work"), help="for all output files")
    parser.add_argument("--threads", type=int, help="of torch; two stages beside each other are faster with one each")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    for name, (run, done) in STAGES.items():
        if options.stage == name or options.stage == "all" and not (done and (options.folder / done).is_file()):
            print(f"{name} ...", flush=True)
            run(options.folder)


if __name__ == "__main__":
    main()
