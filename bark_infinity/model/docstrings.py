"""Makes models of transformers importable when Python discards docstrings (`python -OO`)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def transformers_without_docstrings() -> Iterator[None]:
    """Context manager for imports of transformers' models; without `python -OO` it does nothing.

    Their decorator `auto_docstring` rewrites the docstrings of classes while these are defined, and fails where there
    are none, so it is replaced inside the block.
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
