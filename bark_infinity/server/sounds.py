"""Sound in answers to a browser: a wave file in memory, or the part of it that the browser asks for."""

from __future__ import annotations

import io
import re

import numpy as np
import soundfile
from fastapi import Request, Response

from .. import constants as c

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
FOREVER = "private, max-age=31536000, immutable"  # for addresses that have a revision in them


def wave_bytes(samples: np.ndarray) -> bytes:
    """Samples (n,), float32 at 24 kHz, as a wave file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1.0, 1.0), c.SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def sound_answer(data: bytes, request: Request, media_type: str = "audio/wav", cache: str = "no-store") -> Response:
    """The answer to a browser that plays `data`, which may ask for a range of its bytes in order to seek."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": cache}
    span = _span(request.headers.get("range"), len(data))
    if span is None:
        return Response(data, media_type=media_type, headers=headers)
    if not span:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{len(data)}"
    return Response(data[span.start : span.stop], 206, headers, media_type)


def _span(asked: str | None, size: int) -> range | None:
    """The bytes of a Range header; None for all of them (also where it has several ranges), empty if there are none such."""
    match = _RANGE.fullmatch(asked or "")
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return range(max(0, size - int(match[2])), size)
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    return range(int(match[1]), last + 1)
