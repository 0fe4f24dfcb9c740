"""Operations of the large models, from their shapes. A product of (a, b) and (b, c) counts 2abc.

Blocks: 24 d^2 a token for the four projections of attention (8 d^2) and the two of the feed-forward
part (16 d^2, four times as wide), and 4 T d for scores and their sum over T tokens (Kaplan et al.
2020, table 1, times the tokens; Hoffmann et al. 2022, appendix F).
"""

from __future__ import annotations

from dataclasses import dataclass

# HuBERT large: seven convolutions of 512 channels, by width and stride.
_FRONT = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
_CHANNELS, _RATE_HZ = 512, 16_000


@dataclass(frozen=True)
class Blocks:
    """Transformer blocks of width `width`."""

    layers: int
    width: int

    def flops(self, tokens: float) -> float:
        """Of one pass over so many tokens."""
        each = 24 * self.width**2 + 4 * tokens * self.width
        return self.layers * tokens * each


HUBERT_LARGE = Blocks(24, 1024)
BERT_LARGE = Blocks(24, 1024)
# whisper-large-v3: 1500 frames of 30 s, however short the utterance; a decoder as deep.
WHISPER_ENCODER = Blocks(32, 1280)
_WINDOW_FRAMES, _CROSS = 1500, 8
# Characters of a sentence with the marks around them; tokens of the recogniser.
SENTENCE_TOKENS = 24
FRAMES_PER_S = 50


def front(seconds: float) -> float:
    """HuBERT's convolutions."""
    rate, before, total = float(_RATE_HZ), 1, 0.0
    for width, stride in _FRONT:
        rate /= stride
        total += 2 * rate * seconds * width * before * _CHANNELS
        before = _CHANNELS
    return total


def speech(seconds: float) -> float:
    """One forward pass of HuBERT large over one clip."""
    return front(seconds) + HUBERT_LARGE.flops(FRAMES_PER_S * seconds)


def text() -> float:
    """One forward pass of BERT large over a sentence."""
    return BERT_LARGE.flops(SENTENCE_TOKENS)


def recognition() -> float:
    """One utterance by whisper-large-v3."""
    blocks = WHISPER_ENCODER
    decoder = blocks.flops(SENTENCE_TOKENS) + blocks.layers * SENTENCE_TOKENS * (
        _CROSS * blocks.width**2 + 4 * _WINDOW_FRAMES * blocks.width
    )
    # Keys and values of the 1500 frames, once for each block of the decoder.
    crossed = blocks.layers * 4 * _WINDOW_FRAMES * blocks.width**2
    return blocks.flops(_WINDOW_FRAMES) + crossed + decoder


def sentence(seconds: float) -> float:
    """All that a sentence of so many seconds wants: recognised, heard, read."""
    return recognition() + speech(seconds) + text()
