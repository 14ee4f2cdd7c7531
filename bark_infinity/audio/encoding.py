"""How sound becomes an audio file: format, sample rate and bit rate."""

from __future__ import annotations

from dataclasses import dataclass

from .. import constants as c


@dataclass(frozen=True)
class Encoding:
    """How sound becomes a file.

    `format`: one of `formats.FORMATS`. `sample_rate`: of the samples and of the file, in Hz; 24 kHz, 44.1 kHz and so on.
    `constant_kbits`: the constant bit rate of an MP3 in kbit/s, which is at most 160 below 32 kHz; None: variable.
    `parameters`: those of --output_format_ffmpeg_parameters, which go with `formats.AV_FORMATS`.
    """

    format: str = "wav"
    sample_rate: int = c.SAMPLE_RATE
    constant_kbits: int | None = None
    parameters: str = ""
