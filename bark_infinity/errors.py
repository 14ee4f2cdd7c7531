"""Errors that a user can cause. Each message is one sentence that names the file or flag and what to do about it."""

EXIT_FAILED = 1  # exit status if some results failed
EXIT_USAGE = 2  # if the command could not be run as given


class BarkError(Exception):
    """Base class of all errors that the user can correct."""


class UsageError(BarkError):
    """A flag or argument that cannot be used as given."""


class TextError(BarkError):
    """A text or prompt file that cannot be spoken."""


class ScriptError(TextError):
    """Markup of a script that cannot be read. The message begins with line and column."""


class VoiceError(BarkError):
    """A voice (history prompt) that is missing or malformed."""


class CheckpointError(BarkError):
    """A model that is missing, damaged or not a Bark model."""


class DeviceError(BarkError):
    """A device with too little memory."""


class EngineClosedError(DeviceError):
    """An engine that generates nothing any more, because the server or the job that it worked for ends."""


class OutputError(BarkError):
    """A result that cannot be written."""


class QueueFullError(BarkError):
    """As much is waiting as may wait. `retry_after_s`: seconds after which another try makes sense."""

    def __init__(self, message: str, retry_after_s: int = 10):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownError(BarkError):
    """Something that a program asks for by an id, and that is not there."""


class UnknownJobError(UnknownError):
    """A job that is not there."""


class UnknownUploadError(UnknownError):
    """An uploaded file that is not there."""


class InUseError(BarkError):
    """Something that cannot be removed or changed while something else needs it."""


class UploadError(BarkError):
    """An uploaded file of which nothing can be made."""


class TooLargeError(UploadError):
    """An upload with more bytes than one may have."""
