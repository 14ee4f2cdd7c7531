"""Covers are judged by their content: kind, size in bytes and in pixels."""

from __future__ import annotations

import pytest
from audio_files import jpeg, png
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.audio.images import MAX_COVER_BYTES, image_fault, image_kind


@pytest.mark.parametrize(("make", "kind"), [(png, "png"), (jpeg, "jpeg")])
@pytest.mark.parametrize("size", [(16, 8), (600, 800)])
def test_images_are_usable(make, kind, size):
    assert image_kind(make(*size)) == kind and image_fault(make(*size)) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a JPEG nor a PNG"),
        (b"GIF89a" + bytes(99), "neither a JPEG nor a PNG"),
        (b"<svg/>", "neither a JPEG nor a PNG"),
        (png()[:20], "is damaged"),
        (png(40, 30)[:-1], "is damaged"),
        (png().replace(b"IDAT", b"iDOT"), "is damaged"),
        (jpeg()[:20], "is damaged"),
        (png(0, 3), "is damaged"),
        (png(8193, 1), "8193 x 1 pixels"),
        (png() + bytes(MAX_COVER_BYTES), "more than the 20 MB"),
    ],
)
def test_others_are_refused_with_the_reason(data, words):
    assert words in (image_fault(data) or "")


@given(st.binary(max_size=200))
def test_damaged_jpegs_are_judged_in_bounded_time(data):
    image_fault(b"\xff\xd8\xff" + data)
