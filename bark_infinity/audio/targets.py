"""What finished audio is to be like: loudness targets, and the sample rates of formats. Imports no NumPy, as `formats`."""

from __future__ import annotations

from dataclasses import dataclass

from .. import constants as c

SAMPLE_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
"""Sample rates of files, in Hz: those that sound cards and other programs know."""
_RATES_OF_FORMATS = {
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),  # RFC 6716, section 2
    "mp3": tuple(rate for rate in SAMPLE_RATES if rate <= 48_000),  # MPEG-1, MPEG-2 and 2.5, layer III
}
_PEAK_DBTP = -1.0  # EBU R 128
MIN_LUFS, MAX_LUFS = -50.0, -5.0
LOUDNESS_NAMES = ("off", "ebu", "podcast", "audiobook")
HEAD_SECONDS, TAIL_SECONDS = 0.65, 2.0  # silence around an audiobook's files; ACX wants 0.5 to 1 s and 1 to 5 s


@dataclass(frozen=True)
class LoudnessTarget:
    """What the sound of a whole clip is brought to with one gain and a limiter."""

    lufs: float
    peak_dbtp: float = _PEAK_DBTP  # no true peak is over it
    rms_db: tuple[float, float] | None = None  # lowest and highest level; where they conflict with `lufs`, these win


_TARGETS = {
    "ebu": LoudnessTarget(-23.0),
    "podcast": LoudnessTarget(-16.0),
    # ACX wants -23 to -18 dB RMS and peaks of -3 dB in the MP3, whose encoder may raise them by some tenths.
    "audiobook": LoudnessTarget(-19.0, -3.5, (-22.5, -18.5)),
}


def loudness_target(text: str) -> LoudnessTarget | None:
    """The target of a value of --loudness; None if it is off."""
    if text == "off":
        return None
    return _TARGETS.get(text) or LoudnessTarget(float(text))


def sample_rate_problem(rate: int, format: str) -> str | None:
    """A sentence about a sample rate that cannot be written in a format; None if it can."""
    rates = _RATES_OF_FORMATS.get(format, SAMPLE_RATES)
    if rate in rates:
        return None
    shown = ", ".join(map(str, rates))
    return f"--sample_rate {rate} is none of those of {format} files here; choose one of {shown}"


def rate_in_file(samples: int, rate: int) -> int:
    """The place, in samples of a file of this rate, of a place in the sound at 24 kHz."""
    return round(samples * rate / c.SAMPLE_RATE)
