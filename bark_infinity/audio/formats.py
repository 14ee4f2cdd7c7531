"""The kinds of audio files. Imports no NumPy, so that `--help` answers at once."""

from __future__ import annotations

from ..errors import UsageError

SOUNDFILE_ENCODERS = {  # libsndfile's container, codec and compression (0..1); bit rates were measured on speech
    "wav": ("WAV", "PCM_16", None),
    "flac": ("FLAC", "PCM_16", None),
    "ogg": ("OGG", "VORBIS", 0.4),  # Vorbis quality 6 of 10, about 75 kbit/s
    "opus": (
        "OGG",
        "OPUS",
        (256 - 64) / (256 - 6),
    ),  # libsndfile maps 0..1 to 256..6 kbit/s; 64 kbit/s is enough for music
    "mp3": ("MP3", "MPEG_LAYER_III", 0.2),  # LAME's V2, about 65 kbit/s
}
AV_FORMATS = ("mp4", "m4a", "m4b")  # through PyAV, FFmpeg's libraries
FORMATS = (*SOUNDFILE_ENCODERS, *AV_FORMATS)
CHAPTER_FORMATS = ("mp3", *AV_FORMATS)  # with chapters and a cover in the file
_AUDIO_ENDINGS = {
    "3gp", "aac", "ac3", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "avi", "caf", "flv", "m4b", "m4r", "mka", "mkv",
    "mov", "mp2", "mpeg", "mpg", "oga", "ra", "spx", "tta", "w64", "wave", "webm", "wma", "wmv", "wv",
}  # fmt: skip
UNSUPPORTED_FORMATS = frozenset(
    _AUDIO_ENDINGS - {*FORMATS}
)  # endings of audio and video files that are not written here
_OTHER_ENDINGS = {  # of files without sound; no words, numbers or languages, with which a title may end
    "7z", "ass", "azw3", "bmp", "csv", "doc", "docx", "epub", "exe", "fb2", "gif", "gz", "htm", "html", "ipynb", "jpeg",
    "jpg", "json", "jsonl", "lrc", "markdown", "md", "mobi", "npy", "npz", "ods", "odt", "pdf", "png", "ppt", "pptx", "py",
    "rst", "rtf", "safetensors", "srt", "ssa", "ssml", "svg", "tex", "toml", "tsv", "txt", "vtt", "webp", "xhtml", "xls",
    "xlsx", "xml", "yaml", "yml", "zip",
}  # fmt: skip
KNOWN_ENDINGS = frozenset({*FORMATS, *UNSUPPORTED_FORMATS, *_OTHER_ENDINGS})  # that say what kind a file is


def check_ending(filename: str, what: str) -> None:
    """Raise UsageError for the name of an audio file that ends as another kind of file does; the message calls it `what`.

    Other endings, as in "Vol. 2" or "ch.1", belong to the name.
    """
    _, dot, ending = filename.rpartition(".")
    if dot and ending.lower() in KNOWN_ENDINGS - {*FORMATS}:
        raise UsageError(f"{what} ends in .{ending}, a format that is not written; choose one of {', '.join(FORMATS)}")


def check_format(format: str, ffmpeg_parameters: str) -> None:
    """Raise UsageError if this machine cannot write `format`, or the parameters do not go with it."""
    if format in AV_FORMATS:
        if ffmpeg_parameters.strip():
            from .av_encoder import check_parameters  # late: it loads FFmpeg's libraries

            check_parameters(ffmpeg_parameters)
        return
    if ffmpeg_parameters.strip():
        raise UsageError(
            f"--output_format_ffmpeg_parameters are for {', '.join(AV_FORMATS)}, and {format} does not go through "
            "FFmpeg; leave them out or choose --output_format m4a"
        )
    import soundfile

    container, codec, _ = SOUNDFILE_ENCODERS[format]
    if not soundfile.check_format(container, codec):
        raise UsageError(
            f"--output_format {format}: the libsndfile here ({soundfile.__libsndfile_version__}) is too old for it; "
            "update the package soundfile or choose wav"
        )
