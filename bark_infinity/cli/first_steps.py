"""The name under which the program was started, and the advice for a command line without a text."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from ..checkpoints.places import DOWNLOAD_GB, needs_download
from ..options.table import Options

_ADVICE = """\
There is no text to speak: give it with --text_prompt, or a file with --prompt_file.

Hear it now, without a download, from the tiny model that comes with the program:
  {program} --model demo --text_prompt "Hello, I am very small."

{title}
  {program} {model}--text_prompt "Hello, my name is Suno. [laughs] And I like pizza."

Where no download is needed, two built-in sample prompts are spoken in place of a text: {program} --model demo
All flags: {program} --help"""


def program_name() -> str:
    """How this process was started, as a user would type it."""
    start = Path(sys.argv[0])
    if start.stem == "bark-infinity":
        return "bark-infinity"
    if start.name == "__main__.py" and start.parent.name == "bark_infinity":
        return "python -m bark_infinity"
    return "python bark_perform.py"


def samples_need_download(options: Options) -> bool:
    """Whether nothing is given to speak, and the model for the built-in sample prompts would have to be downloaded."""
    sources = (options.text_prompt, options.prompt_file, options.from_manifest, options.bark_speaker_as_the_prompt)
    if any(source is not None for source in sources) or options.dry_run or options.text_splits_only:
        return False
    reloads = options.force_reload and models_of(options) != {"demo"}
    return reloads or any(needs_download(model, options.model_dir) for model in models_of(options))


def advice_without_text(options: Options) -> str:
    """Examples of what to type instead, with the size of the download for the chosen model."""
    known = [model for model in models_of(options) if model in DOWNLOAD_GB]
    size = f", {sum(DOWNLOAD_GB[model] for model in known):.1f} GB" if known else ""
    title = f"Real speech, with the model {' and '.join(sorted(models_of(options)))} (downloaded once{size}):"
    given = "" if options.model == "large" else f"--model {shlex.quote(options.model)} "
    return _ADVICE.format(program=program_name(), title=title, model=given)


def models_of(options: Options) -> set[str]:
    """Names of the models that the stages come from."""
    small = (options.text_use_small, options.coarse_use_small, options.fine_use_small)
    return {"small" if use_small else options.model for use_small in small}
