"""Importing models of transformers where Python keeps no docstrings (`python -OO`)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def transformers_without_docstrings() -> Iterator[None]:
    """Within it models of transformers can be imported under `python -OO` too; otherwise it does nothing.

    Their decorator `auto_docstring` rewrites the docstrings of classes while these are defined, and fails where there
    are none. It is put aside for that long.
    """
    if sys.flags.optimize < 2:
        yield
        return
    from transformers import utils

    decorator = utils.auto_docstring
    utils.auto_docstring = lambda defined=None, **_: defined if defined is not None else lambda later: later
    try:
        yield
    finally:
        utils.auto_docstring = decorator
