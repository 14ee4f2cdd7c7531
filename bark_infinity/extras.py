"""The error for a feature whose optional packages (an extra of pyproject.toml) are not installed."""

from __future__ import annotations

from .errors import UsageError


def missing_extra(what: str, extra: str) -> UsageError:
    """The error for a feature (`what`) whose packages are not installed. `extra`: its name in pyproject.toml."""
    return UsageError(f'{what} needs further packages; install them with pip install "bark-infinity[{extra}]"')
