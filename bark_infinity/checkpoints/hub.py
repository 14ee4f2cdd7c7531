"""Files of hub repositories: from the hub's cache where they are there, else downloaded, resumed after a break."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CheckpointError, VoiceError
from ..tokenizer import TOKENIZER_FILES, VOCABULARY_FILES
from ..voice import Voice
from .huggingface import INDEX_FILES, WEIGHT_FILES, read_json

_PRESET_REPO = "suno/bark"
_MEND = "connect once to download it, give --model a folder with a checkpoint, or use --model demo"
_VOICE_MEND = "connect once to download this voice, or give --history_prompt an .npz file"


class Hub:
    """Access to the hub. `cache` is a folder for downloads (None: the hub's own); `offline` never opens a connection."""

    def __init__(self, cache: str | None = None, offline: bool = False, force: bool = False):
        self._cache, self._offline, self._force = cache, offline, force

    @staticmethod
    def is_repo_name(name: str) -> bool:
        """Whether a hub repository could have this name, as owner/name."""
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(name)
        except HFValidationError:
            return False
        return "/" in name

    def cached(self, repo: str, name: str) -> Path | None:
        """A file that is on this machine already: in the hub's cache, or put by hand into `<cache>/<owner>/<name>/`."""
        from huggingface_hub import try_to_load_from_cache

        if self._cache and (by_hand := Path(self._cache, repo, name)).is_file():
            return by_hand

        found = try_to_load_from_cache(repo, name, cache_dir=self._cache)
        return Path(found) if isinstance(found, str) else None

    def file(self, repo: str, name: str, required: bool = True, mend: str = _MEND) -> Path | None:
        """A file of a repository, downloaded where needed. None if the repository does not have it and need not.

        Raises CheckpointError if it is not there or cannot be reached, saying that `mend` would help.
        """
        if not self._force and (path := self.cached(repo, name)):
            return path
        from huggingface_hub import hf_hub_download
        from huggingface_hub import logging as hub_logging
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )

        hub_logging.set_verbosity_error()  # it retries by itself; what comes of it is said once, below
        try:
            return Path(
                hf_hub_download(
                    repo, name, cache_dir=self._cache, local_files_only=self._offline, force_download=self._force
                )
            )
        except LocalEntryNotFoundError as error:  # offline, or no connection; not that the repository lacks the file
            why = "--offline is set" if self._offline else f"the hub cannot be reached ({_reason(error)})"
            raise CheckpointError(_unreachable(repo, name, why, mend)) from None
        except EntryNotFoundError:
            if not required:
                return None
            raise CheckpointError(f"the hub repository {repo} has no {name}; it is in no layout known here") from None
        except RepositoryNotFoundError:
            raise CheckpointError(f"there is no hub repository {repo}, or it is private; check the name") from None
        except (HfHubHTTPError, OSError, ValueError) as error:  # ValueError: HF_HUB_OFFLINE and --force_reload
            raise CheckpointError(_unreachable(repo, name, f"the download broke ({_reason(error)})", mend)) from None

    def tokenizer_folder(self, repo: str) -> Path:
        """The folder with a repository's tokenizer. Raises CheckpointError."""
        if folder := self._cached_folder(repo, [VOCABULARY_FILES]):
            return folder
        found = [path for name in TOKENIZER_FILES if (path := self.file(repo, name, required=False))]
        if not found:
            raise CheckpointError(f"the hub repository {repo} has no tokenizer ({', '.join(VOCABULARY_FILES)})")
        return found[0].parent

    def weights_folder(self, repo: str, beside: Sequence[str] = (), mend: str = _MEND) -> Path:
        """The folder of a repository in transformers' layout: config.json, the files `beside` it, one set of weights."""
        if folder := self._cached_folder(
            repo, [("config.json",), WEIGHT_FILES, *([VOCABULARY_FILES] if beside else [])]
        ):
            return folder
        folder = self.file(repo, "config.json", mend=mend).parent
        for name in beside:
            self.file(repo, name, required=False, mend=mend)
        for weights, index in zip(WEIGHT_FILES, INDEX_FILES, strict=True):
            if self.file(repo, weights, required=False, mend=mend):
                return folder
            if parts := self.file(repo, index, required=False, mend=mend):
                for part in sorted(set(read_json(parts).get("weight_map", {}).values())):
                    self.file(repo, part, mend=mend)
                return folder
        raise CheckpointError(
            f"the hub repository {repo} has neither {' nor '.join(WEIGHT_FILES)}; it is in no layout known here"
        )

    def _cached_folder(self, repo: str, needed: Sequence[Sequence[str]]) -> Path | None:
        """The cached folder of a repository if it has one file of each group, so that no connection is needed."""
        found = [next(filter(None, (self.cached(repo, name) for name in group)), None) for group in needed]
        return found[0].parent if all(found) and not self._force else None

    def preset(self, name: str) -> Voice:
        """A published voice (`v2/en_speaker_6`, `announcer`) from the model's repository. Raises VoiceError."""
        arrays = {}
        for kind in ("semantic_prompt", "coarse_prompt", "fine_prompt"):
            try:
                path = self.file(_PRESET_REPO, f"speaker_embeddings/{name}_{kind}.npy", mend=_VOICE_MEND)
                arrays[kind] = np.load(path, allow_pickle=False)
            except CheckpointError as error:
                raise VoiceError(f"the voice {name} cannot be had: {error}") from None
            except (ValueError, OSError, EOFError) as error:
                raise VoiceError(f"{path} is damaged ({error}); delete it, and it is downloaded again") from None
        return Voice.from_prompts(arrays, name)


def _unreachable(repo: str, name: str, why: str, mend: str) -> str:
    return f"{name} of {repo} is not on this machine and {why}: {mend}"


def _reason(error: Exception) -> str:
    """The cause that the network gave, in a line."""
    cause = error.__cause__ or error.__context__ or error
    return (str(cause) or type(cause).__name__).splitlines()[0][:200]
