"""Files of hub repositories: from the cache if they are there, else downloaded; broken downloads are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CheckpointError, VoiceError
from ..model.tokenizer import TOKENIZER_FILES, VOCABULARY_FILES
from ..voices.npz import read_npy
from .downloads import CachedRepo
from .huggingface import index_parts
from .places import INDEX_FILES, WEIGHT_FILES

_PRESET_REPO = "suno/bark"
_MEND = "connect once to download it, give --model a folder with a checkpoint, or use --model demo"
_VOICE_MEND = "connect once to download this voice, or give --history_prompt an .npz file"


class Hub:
    """Access to the hub. `cache` is a folder for downloads (None: the hub's own); `offline` never opens a connection."""

    def __init__(self, cache: str | None = None, offline: bool = False, force: bool = False):
        self._cache, self._offline, self._force = cache, offline, force

    def cached(self, repo: str, name: str) -> Path | None:
        """An undamaged file on this machine: in the hub's cache, or copied by hand into `<cache>/<owner>/<name>/`."""
        if self._cache and (by_hand := Path(self._cache, repo, name)).is_file():
            return by_hand
        stored = CachedRepo(repo, self._cache)
        path = stored.find(name)
        return path if path and stored.is_sound(name, path) else None

    def file(self, repo: str, name: str, mend: str = _MEND) -> Path:
        """A file of a repository, downloaded if needed.

        Raises CheckpointError, with the advice `mend`, if it is missing or cannot be downloaded.
        """
        path = self.optional_file(repo, name, mend)
        if path is None:
            raise CheckpointError(f"the hub repository {repo} has no {name}; it is in no layout known here")
        return path

    def optional_file(self, repo: str, name: str, mend: str = _MEND) -> Path | None:
        """As `file`, but None for a file that the repository lacks."""
        if not self._force and (path := self.cached(repo, name)):
            return path
        stored = CachedRepo(repo, self._cache)
        state = "not on this machine" if not stored.find(name) else "asked for again" if self._force else "damaged"
        if self._offline:
            raise CheckpointError(f"{name} of {repo} is {state} and --offline is set: {mend}")
        from huggingface_hub.errors import EntryNotFoundError, OfflineModeIsEnabled, RepositoryNotFoundError

        step = "the hub cannot be reached"
        try:
            remote = stored.ask(name)
            step = "the download broke, and the part that has arrived is kept"
            return stored.download(remote, self._force)
        except CheckpointError:
            raise
        except OfflineModeIsEnabled:
            why = "HF_HUB_OFFLINE is set"
        except RepositoryNotFoundError:
            raise CheckpointError(f"there is no hub repository {repo}, or it is private; check the name") from None
        except Exception as error:  # each major version of the library has another HTTP client
            if isinstance(error, EntryNotFoundError) and not isinstance(
                error, FileNotFoundError
            ):  # a FileNotFoundError is about a local file
                return None
            if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
                raise CheckpointError(
                    f"{name} of {repo} cannot be saved ({_reason(error)}); free space or give another --model_dir"
                ) from None
            why = f"{step} ({_reason(error)})"
        raise CheckpointError(f"{name} of {repo} is {state} and {why}: {mend}")

    def tokenizer_folder(self, repo: str) -> Path:
        """The folder with a repository's tokenizer. Raises CheckpointError."""
        if folder := self._cached_folder(repo, [VOCABULARY_FILES]):
            return folder
        found = [path for name in TOKENIZER_FILES if (path := self.optional_file(repo, name))]
        if not found:
            raise CheckpointError(f"the hub repository {repo} has no tokenizer ({', '.join(VOCABULARY_FILES)})")
        return found[0].parent

    def weights_folder(self, repo: str, beside: Sequence[str] = (), mend: str = _MEND) -> Path:
        """The folder of a repository in transformers' layout: config.json, the files `beside` it, one set of weights."""
        needed = [("config.json",), WEIGHT_FILES, *([VOCABULARY_FILES] if beside else [])]
        if (folder := self._cached_folder(repo, needed)) and not any(self._is_damaged(repo, name) for name in beside):
            return folder
        folder = self.file(repo, "config.json", mend=mend).parent
        for name in beside:
            self.optional_file(repo, name, mend)
        for weights, index in zip(WEIGHT_FILES, INDEX_FILES, strict=True):
            if self.optional_file(repo, weights, mend):
                return folder
            if parts := self.optional_file(repo, index, mend):
                for part in index_parts(parts):
                    self.file(repo, part, mend=mend)
                return folder
        raise CheckpointError(
            f"the hub repository {repo} has neither {' nor '.join(WEIGHT_FILES)}; it is in no layout known here"
        )

    def has_weights(self, repo: str) -> bool:
        """True when a repository's configuration and weights are on this machine, in one file."""
        return self._cached_folder(repo, [("config.json",), WEIGHT_FILES]) is not None

    def _cached_folder(self, repo: str, needed: Sequence[Sequence[str]]) -> Path | None:
        """The cached folder of a repository if it has at least one file of each group, else None."""
        found = [next(filter(None, (self.cached(repo, name) for name in group)), None) for group in needed]
        paths = [path for path in found if path is not None]
        return paths[0].parent if len(paths) == len(needed) and not self._force else None

    def _is_damaged(self, repo: str, name: str) -> bool:
        return CachedRepo(repo, self._cache).find(name) is not None and self.cached(repo, name) is None

    def preset(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a published voice (`v2/en_speaker_6`, `announcer`) from the model's repository. Raises VoiceError."""
        arrays = {}
        for kind in ("semantic_prompt", "coarse_prompt", "fine_prompt"):
            try:
                path = self.file(_PRESET_REPO, f"speaker_embeddings/{name}_{kind}.npy", mend=_VOICE_MEND)
                arrays[kind] = read_npy(path)
            except CheckpointError as error:
                raise VoiceError(f"the voice {name} cannot be had: {error}") from None
        return arrays


def _reason(error: Exception) -> str:
    """The underlying cause of a network error, in one line."""
    cause = error.__cause__ or error.__context__ or error
    return (str(cause) or type(cause).__name__).splitlines()[0][:200]
