"""Draws a voice report: one panel for each feature over the time of the clip, with outliers marked by their numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..extras import missing_extra
from ..files import write_whole
from .voice_report import SegmentVoice

_PANELS = {  # feature: label of its axis, and the least range shown, so that small differences look small
    "pitch": ("pitch, Hz", 30.0),
    "spread": ("spread,\nsemitones", 4.0),
    "pace": ("pace", 0.6),
    "loudness": ("loudness,\ndBFS", 6.0),
    "spectrum": ("spectrum,\ndB from usual", 4.0),
}
_COLORS = ("#1f5fa8", "#b5541c", "#2f7d4f", "#7a4fa3", "#8a6d1f", "#3a7f8c")
_OUTLIER_COLOR = "#c1121f"


def draw_report(path: Path, title: str, segments: Sequence[SegmentVoice]) -> None:
    """Write the drawing as PNG, in place of an earlier one. Raises UsageError without matplotlib, OutputError."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("the drawing of --voice_report", "report") from None
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(len(_PANELS), sharex=True)
    speakers = list(dict.fromkeys(segment.speaker for segment in segments))
    for panel, (feature, (label, least_range)) in zip(axes, _PANELS.items(), strict=True):
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
        for number, speaker in enumerate(speakers):
            own = [segment for segment in segments if segment.speaker == speaker]
            points = [(segment, value) for segment in own if (value := segment.value(feature)) is not None]
            _draw_points(panel, points, feature, speaker, _COLORS[number % len(_COLORS)])
        low, high = panel.get_ylim()
        margin = max(0.0, least_range - (high - low)) / 2
        panel.set_ylim(low - margin, high + margin)
    axes[0].set_title(title, loc="left", parse_math=False)
    axes[-1].set_xlabel("seconds")
    if len(speakers) > 1:
        axes[0].legend(loc="upper right", fontsize="small")
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=100))


def _draw_points(
    panel: Any, points: Sequence[tuple[SegmentVoice, float]], feature: str, speaker: str | None, color: str
) -> None:
    """Draw the values of one speaker, with a line at their median and a ring with its number around each outlier."""
    if not points:
        return
    times = [(segment.start + segment.end) / 2 for segment, _ in points]
    values = [value for _, value in points]
    panel.plot(times, values, ".-", color=color, linewidth=0.6, label=_plain(speaker or "narrator"))
    panel.axhline(statistics.median(values), color=color, linewidth=0.8, linestyle="--")
    for (segment, value), time in zip(points, times, strict=True):
        if feature in segment.outliers:
            panel.plot(time, value, "o", markersize=11, fillstyle="none", color=_OUTLIER_COLOR)
            panel.annotate(
                str(segment.index + 1), (time, value), (8, 0), textcoords="offset points", color=_OUTLIER_COLOR
            )


def _plain(name: str) -> str:
    """A name as matplotlib shows it unchanged: a dollar would begin a formula, and a leading _ would hide it."""
    return name.replace("$", r"\$").lstrip("_") or "?"
