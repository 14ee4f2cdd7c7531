"""Settings of the recipe: seeds, sizes and training schedules."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 20_230_420

N_HELD_OUT = 3_000  # sentences that no stage learns from
N_HELD_CLIPS = 32  # of each voice, held out for evaluation
N_NUMBERED = 16_000  # made-up texts with digits
N_SAID = 16_000  # questions, exclamations, answers and dialogue
N_SALADS = 30_000  # of words in no order
N_SHORT = 8_000  # of a few words


@dataclass(frozen=True)
class Voice:
    name: str
    teacher: str  # one of `teacher.TEACHERS`
    carrier: float  # in the middle of the fundamental's range, in Hz
    window: int  # samples at 24 kHz: a Hann window as long keeps the second harmonic out
    fundamental_missing: bool  # its recordings have nothing there: the phase is that of the beats of its harmonics
    half_voiced: float  # amplitude of the fundamental, or of the beats, at which a frame counts as half voiced
    clips: int  # to speak, of one to three sentences
    short_clips: int  # of a few words
    sample: str  # the text of the held-out clip that is its voice file, chosen by what judges make of the speech it leads to


# What a phone sounds like beside which others is learned from both voices.
VOICES = (
    Voice(
        "male", "piper", 94.0, 1_300, True, 0.006, 1_000, 160, "In the living room there was a tank of colorful fish."
    ),
    Voice("female", "hibari", 205.0, 700, False, 0.004, 4_400, 800, "Consisting of or made of wood of the beech tree."),
)


TIMING = 1  # the voice whose phones say how long a phone lasts: the one with most clips


@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    heads: int


@dataclass(frozen=True)
class Schedule:
    """Warm up, stay, and fall in a straight line over the last `falling` of the steps."""

    steps: int
    rate: float
    warm_up: int = 50
    falling: float = 0.3

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        left = (self.steps - step) / max(1.0, self.steps * self.falling)
        return self.rate * min(1.0, (step + 1) / self.warm_up, left)


SEMANTIC = Shape(4, 256, 4)
SEMANTIC_SCHEDULE = Schedule(6_500, 3e-3, warm_up=40, falling=0.45)
SEMANTIC_POSITIONS = 4_000  # of a step
SEMANTIC_SHARPNESS = 1.5  # of the logits: the program's temperature of 0.7 then suits a stage as small as this
BRISK = 0.35  # share of the batches with one token a phone: reading is learned there, at a third of the cost

CODEC_FILTERS = 16
DECODER_SCHEDULE = Schedule(7_400, 2e-3, warm_up=100, falling=0.6)

COARSE = Shape(4, 256, 4)
COARSE_SCHEDULE = Schedule(9_200, 2.5e-3, falling=0.5)
COARSE_POSITIONS = 3_000
COARSE_WHOLE = 0.5  # share of the batches with whole windows: behind a voice, all that is new stands at their end
COARSE_JOINED = 0.8  # chance that another clip of the voice follows
COARSE_MISHEARD = 0.4  # largest share of a window's first input codes replaced by neighbours
COARSE_OWN = 0.7  # share of the batches with scheduled sampling: input codes replaced by the stage's own samples
COARSE_OWN_FROM = (1_500, 5_000)  # steps from which there is a first and a second pass of it
COARSE_OWN_PHASES = 0.1  # largest share of the second codebook's codes replaced by samples
PHASE_WEIGHT = 0.5  # beside the bands: much of the phase is chance, and it is not what is understood
COARSE_SHARPNESS = (1.6, 1.2)  # of the logits of bands and phases

FINE = Shape(3, 64, 1)
FINE_SCHEDULE = Schedule(800, 3e-3)
