"""What the routes of the server share: one loaded model, one output folder with its jobs, and how requests are let in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..options.table import Options
from .network_names import NetworkNames
from .uploads import Uploads
from .voice_shelf import VoiceShelf

if TYPE_CHECKING:
    from ..bark import Bark
    from .jobs import JobStore
    from .shared_engine import SharedEngine


@dataclass(frozen=True)
class ServerSettings:
    """How the server is reached, and how much it takes in.

    `host`: the address it listens on. `names`: further host names under which it is reached, through a proxy, say, each with
    its port (`bark.lan:8443`) unless that is 80 or 443. `api_key`: None lets in everybody who reaches it.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    api_key: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    most_waiting: int = 100  # jobs and requests; further ones are answered with status 429
    most_body_bytes: int = 16_000_000  # of any request but an upload; a long book as text has a megabyte or two
    most_upload_bytes: int = 500_000_000  # of one file: an illustrated book, an hour of a recording
    most_uploads_bytes: int = 5_000_000_000  # of all files together
    most_body_s: float = 600.0  # from the first byte of a request to its last


@dataclass(frozen=True)
class Services:
    """What `make_app` and its routes work with."""

    store: JobStore
    engine: SharedEngine
    bark: Bark
    defaults: Options  # resolved: what the server was started with
    voices: VoiceShelf
    uploads: Uploads
    settings: ServerSettings

    @property
    def names(self) -> NetworkNames:
        """Finds what clients name, for `network_options` and as `names` of `narration.ClipSource`."""
        return NetworkNames(self.voices, self.uploads)
