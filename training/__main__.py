"""`python -m training all`, or one stage of it: see the README beside this file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from . import coarse, codec, export, fine, semantic, speech

DEMO = Path(__file__).parents[1] / "bark_infinity" / "assets" / "demo"


def _export(folder: Path) -> None:
    export.export(folder, DEMO)
    export.voices(folder, DEMO / "voices")


STAGES: dict[str, tuple[Callable[[Path], None], str | None]] = {  # and the file that tells that one is done
    "pronounce": (speech.pronounce, "short.npz"),
    "speak": (speech.speak, "clips.cuts.npz"),
    "code": (codec.code, "codes.npz"),
    "semantic": (semantic.learn, None),  # these go on from where they were, and end at once behind their last step
    "decoder": (codec.learn_decoder, None),
    "encoder": (codec.learn_encoder, None),
    "coarse": (coarse.learn, None),
    "fine": (fine.learn, None),
    "export": (_export, None),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one stage, or all that are not done yet."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument("--folder", type=Path, default=Path("training/work"), help="for everything that is made")
    parser.add_argument("--threads", type=int, help="of torch; two stages beside each other are faster with one each")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.threads:
        torch.set_num_threads(given.threads)
    for name, (run, done) in STAGES.items():
        if given.stage == name or given.stage == "all" and not (done and (given.folder / done).is_file()):
            print(f"{name} ...", flush=True)
            run(given.folder)


if __name__ == "__main__":
    main()
