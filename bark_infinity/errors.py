"""What a user can cause. Each message is one sentence that names the file or flag and the mend; only `main` catches them."""

EXIT_FAILED = 1  # exit status where something was not made, and the rest was
EXIT_USAGE = 2  # where nothing was made for what was given


class BarkError(Exception):
    """Base of every error that is the user's to mend."""


class UsageError(BarkError):
    """A flag or argument that cannot be used as given."""


class TextError(BarkError):
    """A text or prompt file that cannot be spoken."""


class VoiceError(BarkError):
    """A voice (history prompt) that is missing or malformed."""


class CheckpointError(BarkError):
    """A model that is missing, damaged or not a Bark."""


class DeviceError(BarkError):
    """A device without the memory for the work."""


class OutputError(BarkError):
    """A result that cannot be written."""
