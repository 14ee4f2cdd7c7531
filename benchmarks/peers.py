"""This program and the library `transformers` behind one face: the same work, each asked for it in its own words."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from bark_infinity import constants as c

from .cases import OURS, SEGMENT_FRAMES, SEGMENT_TOKENS, SPEC, Case, random_voice

_TEXT_IDS = range(10, 50)
_TEMPERATURE, _FINE_TEMPERATURE = 0.7, 0.5


class Peer(Protocol):
    """A loaded model that makes `case.rows` segments side by side, every one behind the same voice."""

    def wait(self) -> None:
        """Until all of it has loaded."""

    def semantic(self, tokens: int) -> None: ...

    def coarse(self, semantic_tokens: int) -> None: ...

    def fine(self) -> None: ...

    def codec(self) -> None:
        """Of one segment: both decode one after the other."""

    def whole(self) -> None: ...


def import_library(who: str) -> None:
    """Whatever loading needs, so that importing is timed by itself."""
    if who == OURS:
        import bark_infinity.bark  # noqa: F401
    else:
        from transformers import BarkModel  # noqa: F401


def load(case: Case) -> Peer:
    """Raises BarkError where this program does not offer such a model."""
    return Ours(case) if case.who == OURS else Transformers(case)


def _random_codes(codebooks: int) -> np.ndarray:
    """(codebooks, frames) of a segment."""
    return np.random.default_rng(1).integers(0, c.CODEBOOK_SIZE, (codebooks, SEGMENT_FRAMES))


def _random_semantic(n: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, c.SEMANTIC_VOCAB_SIZE, n)


class Ours:
    """This program, through `Bark.run_stage` and `Bark.generate`."""

    def __init__(self, case: Case):
        from bark_infinity import Bark
        from bark_infinity.checkpoints.loading import ModelChoice, load_models
        from bark_infinity.voices.history import History

        self.rows = case.rows
        self.bark = Bark(load_models(ModelChoice(model=case.folder, device=case.device, dtype=case.dtype)))
        self.history = History.of_voice(random_voice())

    def wait(self) -> None:
        _ = self.bark.codec  # loads in a thread

    def semantic(self, tokens: int) -> None:
        from bark_infinity.model.sampling import RowRandom
        from bark_infinity.stages.semantic import SemanticRow

        settings = _exactly(tokens)
        rows = [SemanticRow(list(_TEXT_IDS), self.history.semantic, RowRandom(k), settings) for k in range(self.rows)]
        made = self.bark.run_stage("semantic", rows)
        assert [len(m.tokens) for m in made] == [tokens] * self.rows

    def coarse(self, semantic_tokens: int) -> None:
        from bark_infinity.model.sampling import RowRandom
        from bark_infinity.stages.coarse import CoarseRow, CoarseSettings

        heard, semantic = self.history, _random_semantic(semantic_tokens)
        settings = CoarseSettings(temperature=_TEMPERATURE)
        rows = [
            CoarseRow(semantic, heard.coarse_semantic, heard.coarse, RowRandom(k), settings) for k in range(self.rows)
        ]
        self.bark.run_stage("coarse", rows)

    def fine(self) -> None:
        from bark_infinity.model.sampling import RowRandom
        from bark_infinity.stages.fine import FineRow, FineSettings

        settings = FineSettings(_FINE_TEMPERATURE)
        rows = [FineRow(_random_codes(2), self.history.fine, RowRandom(k), settings) for k in range(self.rows)]
        self.bark.run_stage("fine", rows)

    def codec(self) -> None:
        self.bark.decode([_random_codes(8)])

    def whole(self) -> None:
        from bark_infinity import Seeds, Segment, Settings

        segments = [Segment("Every word of it is read aloud.", self.history, Seeds(k)) for k in range(self.rows)]
        made = self.bark.generate(segments, Settings(_exactly(SEGMENT_TOKENS)), rows=self.rows)
        assert all(len(m.audio) == SEGMENT_FRAMES * SPEC.sample_rate // c.FRAME_RATE_HZ for m in made)


def _exactly(tokens: int):
    """Semantic settings that end after so many tokens and not before."""
    from bark_infinity.stages.semantic import SemanticSettings

    seconds = (tokens - 0.5) / SPEC.semantic_rate_hz
    return SemanticSettings(temperature=_TEMPERATURE, allow_early_stop=False, max_gen_duration_s=seconds)


class Transformers:
    """`BarkModel` of the library, eager, through the `generate` of each of its parts."""

    def __init__(self, case: Case):
        from transformers import BarkModel
        from transformers.models.bark import generation_configuration_bark as generation

        self.rows, self.device = case.rows, case.device
        self.model = BarkModel.from_pretrained(
            case.folder, dtype=getattr(torch, case.dtype), local_files_only=True
        ).eval()
        self.model.to(case.device)
        written = self.model.generation_config
        self.semantic_config = generation.BarkSemanticGenerationConfig(**written.semantic_config)
        self.coarse_config = generation.BarkCoarseGenerationConfig(**written.coarse_acoustics_config)
        self.fine_config = generation.BarkFineGenerationConfig(**written.fine_acoustics_config)
        self.drawing = {"do_sample": True, "temperature": _TEMPERATURE, "top_k": 0}

    def wait(self) -> None:
        pass

    @cached_property
    def voice(self) -> dict[str, torch.Tensor]:
        voice = random_voice()
        arrays = {"semantic_prompt": voice.semantic, "coarse_prompt": voice.coarse, "fine_prompt": voice.fine}
        return {name: self._tensor(array) for name, array in arrays.items()}

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array, np.int64)).to(self.device)

    def _rows(self, array: np.ndarray) -> torch.Tensor:
        """The same for every row: (B, ...)."""
        return self._tensor(np.stack([array] * self.rows))

    def _text(self) -> dict[str, torch.Tensor]:
        """As its processor makes it: padded to 256 ids."""
        ids = np.zeros(c.MAX_TEXT_IDS, np.int64)
        ids[: len(_TEXT_IDS)] = _TEXT_IDS
        mask = (np.arange(c.MAX_TEXT_IDS) < len(_TEXT_IDS)).astype(np.int64)
        return {"input_ids": self._rows(ids), "attention_mask": self._rows(mask)}

    @torch.inference_mode()
    def semantic(self, tokens: int) -> None:
        made = self.model.semantic.generate(
            **self._text(),
            semantic_generation_config=self.semantic_config,
            history_prompt=self.voice,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            **self.drawing,
        )
        assert made.shape == (self.rows, tokens)

    @torch.inference_mode()
    def coarse(self, semantic_tokens: int) -> None:
        self.model.coarse_acoustics.generate(
            self._rows(_random_semantic(semantic_tokens)),
            semantic_generation_config=self.semantic_config,
            coarse_generation_config=self.coarse_config,
            history_prompt=self.voice,
            **self.drawing,
        )

    @torch.inference_mode()
    def fine(self) -> None:
        ids = _random_codes(2) + c.SEMANTIC_VOCAB_SIZE + c.CODEBOOK_SIZE * np.arange(2)[:, None]
        self.model.fine_acoustics.generate(
            self._rows(ids.T.reshape(-1)),
            semantic_generation_config=self.semantic_config,
            coarse_generation_config=self.coarse_config,
            fine_generation_config=self.fine_config,
            history_prompt=self.voice,
            temperature=_FINE_TEMPERATURE,
        )

    @torch.inference_mode()
    def codec(self) -> None:
        self.model.codec_decode(self._tensor(_random_codes(8))[None]).cpu()

    @torch.inference_mode()
    def whole(self) -> None:
        audio = self.model.generate(
            **self._text(),
            history_prompt=self.voice,
            semantic_max_new_tokens=SEGMENT_TOKENS,
            semantic_min_new_tokens=SEGMENT_TOKENS,
            fine_temperature=_FINE_TEMPERATURE,
            **self.drawing,
        )
        assert audio.shape == (self.rows, SEGMENT_FRAMES * SPEC.sample_rate // c.FRAME_RATE_HZ)
        audio.cpu()
