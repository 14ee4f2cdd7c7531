"""Reads --output_format_ffmpeg_parameters, arguments as the program ffmpeg takes them, for FFmpeg's libraries."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

_FLAG = "--output_format_ffmpeg_parameters"
_UNDERSTOOD = "-c:a, -b:a, -q:a, -ar, -ac, -profile:a, -metadata, -movflags and the encoder's own options"
_OTHER_NAMES = {"acodec": "c", "codec": "c", "ab": "b", "aq": "q", "qscale": "q"}
_OF_CONTAINER = {"movflags"}
_LAYOUTS = {"1": "mono", "2": "stereo"}
_QUALITY_UNIT = 118  # FF_QP2LAMBDA: a step of -q:a
_AAC = {"b": "96000", "aac_coder": "fast"}  # three times as fast as the other one, and as good at so high a bit rate
_MOST_HZ = 192_000


@dataclass(frozen=True)
class AvParameters:
    """What the arguments ask for. `options`: of the encoder, by FFmpeg's names."""

    codec: str = "aac"
    rate: int | None = None  # Hz; None: that of the samples
    layout: str = "mono"
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, arguments: str) -> AvParameters:
        """Raises UsageError for what is no pair of option and value, and for values that cannot be meant."""
        found: dict[str, str] = {}
        metadata: dict[str, str] = {}
        for name, value in _pairs(arguments):
            if name == "metadata":
                key, equals, text = value.partition("=")
                if not equals:
                    raise UsageError(
                        f"{_FLAG} -metadata {value} is not NAME=TEXT; write it as in -metadata album=Tales"
                    )
                metadata[key] = text
            else:
                found[name] = value
        layout = found.pop("ac", "1")
        if layout not in _LAYOUTS:
            raise UsageError(f"{_FLAG} -ac {layout} is neither 1 nor 2 channels; change it")
        rate = found.pop("ar", None)
        if rate is not None and not (rate.isdecimal() and 1 <= int(rate) <= _MOST_HZ):
            raise UsageError(f"{_FLAG} -ar {rate} is no sample rate in Hz; write it as in -ar 44100")
        codec = found.pop("c", "aac")
        container_options = {name: found.pop(name) for name in _OF_CONTAINER & found.keys()}
        options = (_AAC if codec == "aac" else {}) | _with_quality(found)
        return cls(codec, None if rate is None else int(rate), _LAYOUTS[layout], options, container_options, metadata)

    def add_stream(self, container: OutputContainer, rate: int) -> AudioStream:
        """The stream with its encoder, opened. `rate`: of the samples. Raises UsageError, and what PyAV raises."""
        import av

        try:
            stream = container.add_stream(self.codec, rate=self.rate or rate)
        except (av.codec.codec.UnknownCodecError, ValueError) as error:
            known = error if isinstance(error, ValueError) else f"there is no encoder {self.codec}"
            raise UsageError(f"{_FLAG} -c:a {self.codec}: {known}; leave it out for aac") from None
        if not isinstance(stream, av.AudioStream):
            raise UsageError(f"{_FLAG} -c:a {self.codec} is no encoder of sound; leave it out for aac")
        stream.codec_context.layout = self.layout
        stream.codec_context.options = dict(self.options)
        stream.codec_context.open()
        unknown = stream.codec_context.options
        if unknown:
            raise UsageError(
                f"{_FLAG} has the option -{next(iter(unknown))}, which is not known; known are {_UNDERSTOOD}"
            )
        return stream


def _pairs(arguments: str) -> list[tuple[str, str]]:
    """The options, without the kind of stream that they are for, and their values. Raises UsageError."""
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise UsageError(
            f"{_FLAG} {arguments} cannot be split into words ({str(error).lower()}); close the quotes"
        ) from None
    for option in words[::2]:
        if not option.startswith("-") or len(option) < 2:
            raise UsageError(f"{_FLAG} has {option} where an option is expected; known are {_UNDERSTOOD}")
    if len(words) % 2:
        raise UsageError(f"{_FLAG} has no value for {words[-1]}; give it one or leave it out")
    names = (option.removeprefix("-").split(":")[0] for option in words[::2])
    return [(_OTHER_NAMES.get(name, name), value) for name, value in zip(names, words[1::2], strict=True)]


def _with_quality(options: Mapping[str, str]) -> dict[str, str]:
    """Options of the encoder: a bit rate, or a quality in place of it as -q:a has it. Raises UsageError."""
    if "q" not in options:
        return dict(options)
    try:
        quality = round(float(options["q"]) * _QUALITY_UNIT)
    except (ValueError, OverflowError):
        raise UsageError(f"{_FLAG} -q:a {options['q']} is no number; write it as in -q:a 2") from None
    others = {name: value for name, value in options.items() if name not in ("q", "b")}
    return others | {"flags": "+qscale", "global_quality": str(quality)}
