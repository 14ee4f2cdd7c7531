"""Published numbers of Suno's Bark, each with its unit. A checkpoint's own configuration overrides them (see `spec.py`)."""

SAMPLE_RATE = 24_000  # samples per second, mono

SEMANTIC_RATE_HZ = 49.9  # semantic tokens per second of speech
SEMANTIC_VOCAB_SIZE = 10_000  # ids 0..9999; the end-of-speech logit stands right behind them
MAX_SEMANTIC_TOKENS = 768  # steps of the semantic stage, 15.4 s of speech
MAX_TEXT_IDS = 256  # WordPiece ids of one segment that the model reads
SEMANTIC_HISTORY_WINDOW = 256  # semantic tokens of history that the semantic stage reads

FRAME_RATE_HZ = 75  # EnCodec frames per second
CODEBOOK_SIZE = 1024  # entries of each EnCodec codebook
N_COARSE_CODEBOOKS = 2
N_FINE_CODEBOOKS = 8  # 24 kHz EnCodec at 6 kbit/s
COARSE_HISTORY_WINDOW = 315  # frames of history that the coarse stage reads: 630 interleaved tokens
FINE_HISTORY_WINDOW = 512  # frames of history that the fine stage reads

MIN_COARSE_HISTORY = 60  # interleaved tokens, bounds of --coarse_max_coarse_history
MAX_COARSE_HISTORY = 630
MAX_COARSE_INPUT = 768  # coarse history and window together: the context of 1024 less 256 semantic positions

GREEDY_BELOW = 1e-6  # temperatures under it take the likeliest token: dividing by them overflows float32

LANGUAGES = {
    "en": "English",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "zh": "Chinese",
}

SPEAKER_NAMES = (
    "MAN|WOMAN|BOY|GIRL|CHILD|NARRATOR|SPEAKER|HOST|VOICE"  # the last word of tags such as [OLD MAN]; others are sounds
)
