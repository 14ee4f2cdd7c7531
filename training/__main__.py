"""`python -m training all`, or one stage of it: see the README beside this file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

DEMO = Path(__file__).parents[1] / "bark_infinity" / "assets" / "demo"
PROMPTS = Path(__file__).parents[1] / "prompts"


def _pronounce(folder: Path) -> None:
    from . import speech

    speech.pronounce(folder, os.cpu_count() or 1)


def _speak(folder: Path) -> None:
    from . import speech

    speech.speak(folder, os.cpu_count() or 1)


def _code(folder: Path) -> None:
    from . import codec

    codec.code(folder)


def _semantic(folder: Path) -> None:
    from . import semantic

    semantic.learn(folder)


def _decoder(folder: Path) -> None:
    from . import codec

    codec.learn_decoder(folder)


def _encoder(folder: Path) -> None:
    from . import codec

    codec.learn_encoder(folder)


def _coarse(folder: Path) -> None:
    from . import coarse

    coarse.learn_to_speak(folder)


def _windows(folder: Path) -> None:
    from . import coarse

    coarse.learn_windows(folder)


def _fine(folder: Path) -> None:
    from . import fine

    fine.learn(folder)


def _export(folder: Path) -> None:
    from . import export

    export.export(folder, DEMO)
    export.voices(folder, PROMPTS)


STAGES: dict[str, tuple[Callable[[Path], None], str | None]] = {  # and the file that tells that one is done
    "pronounce": (_pronounce, "salads.npz"),
    "speak": (_speak, "clips.cuts.npz"),
    "code": (_code, "codes.npz"),
    "semantic": (_semantic, None),  # these go on from where they were, and end at once behind their last step
    "decoder": (_decoder, None),
    "encoder": (_encoder, None),
    "coarse": (_coarse, None),
    "windows": (_windows, None),
    "fine": (_fine, None),
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
