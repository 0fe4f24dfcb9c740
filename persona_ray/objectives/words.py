"""Which tokens are one word: borders by jieba, laid over the tokenizer's tokens.

BERT reads Chinese character by character; whole-word masking (Cui et al. 2021, arXiv 1906.08101)
hides all characters of a word together, so that a word is guessed from its neighbours and not from
its own other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from persona_ray.errors import ConfigError

# Token numbers (tokens,) of a text without special tokens, and where its words begin (tokens,).
Tokenised = tuple[NDArray[np.int32], NDArray[np.bool_]]


class WordBorders:
    """jieba with a dictionary of its own.

    The shared tokenizer of the jieba module is left alone, and so is the cache file that jieba
    would write into the temporary folder: the dictionary is read directly, once in a process
    (0.5 s). Words are cut where a corpus is prepared, never by training workers.
    """

    def __init__(self, user_dictionary: str = "") -> None:
        """`user_dictionary`: file with `word [frequency] [tag]` a line. Raises ConfigError."""
        import jieba

        self._jieba = jieba.Tokenizer()
        frequencies, self._jieba.total = _dictionary()
        # Its own, since words may be added.
        self._jieba.FREQ = dict(frequencies)
        # Or jieba reads it again, logs to stderr and writes its cache.
        self._jieba.initialized = True
        if user_dictionary:
            for word, frequency in _read_dictionary(Path(user_dictionary)):
                # None: as frequent as it must be for the word to stand as one.
                self._jieba.add_word(word, frequency)

    def cut(self, text: str) -> list[str]:
        """Words in order; joined they are `text`."""
        return list(self._jieba.cut(text))


@cache
def _dictionary() -> tuple[Mapping[str, int], int]:
    """jieba's words and their beginnings (0) with how frequent they are, and the sum."""
    import jieba

    tokenizer = jieba.Tokenizer()
    frequencies, total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    return MappingProxyType(frequencies), total


class WordTokenizer:
    """A Hugging Face tokenizer that also says which tokens are one word."""

    def __init__(self, tokenizer: Any, borders: WordBorders) -> None:
        self._tokenizer = tokenizer
        self._borders = borders
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._continues = np.array([name is not None and name.startswith("##") for name in names])

    def __call__(self, texts: Sequence[str]) -> list[Tokenised]:
        """Tokens and word borders of each text, without [CLS] and [SEP].

        A token that reaches over a border of jieba's joins the words on both sides: no token
        belongs to two words, and no piece of a word (`##ing`) begins one.
        """
        if not texts:
            return []
        if not self._tokenizer.is_fast:
            return [_by_words(self._borders.cut(text), self._tokenizer) for text in texts]
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        rows = zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [self._with_words(*row) for row in rows]

    def _with_words(
        self, text: str, numbers: list[int], offsets: list[tuple[int, int]]
    ) -> Tokenised:
        tokens = np.array(numbers, dtype=np.int32)
        places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        starts = word_starts(self._borders.cut(text), places)
        # jieba parts letters that it does not know (`1é`) from those that it does.
        starts[1:] &= ~self._continues[tokens[1:]]
        return tokens, starts


def word_starts(words: Sequence[str], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each token begins a word: `offsets` (tokens, 2) are its first character and the one
    after its last, in the text that `words` make up. Returns (tokens,)."""
    word_of = np.repeat(np.arange(len(words)), [len(word) for word in words])
    starts = np.ones(len(offsets), dtype=np.bool_)
    if len(offsets) > 1:
        first = offsets[:, 0]
        # Some tokenizers have tokens without characters of their own.
        last = np.maximum(offsets[:, 1] - 1, first)
        within = np.minimum(len(word_of) - 1, np.stack([first[1:], last[:-1]]))
        starts[1:] = word_of[within[0]] != word_of[within[1]]
    return starts


def _by_words(words: Sequence[str], tokenizer: Any) -> Tokenised:
    """For tokenizers without offsets: each word is tokenised on its own."""
    tokens: list[int] = []
    starts: list[bool] = []
    for word in words:
        pieces = tokenizer.encode(word, add_special_tokens=False)
        tokens += pieces
        starts += [place == 0 for place in range(len(pieces))]
    return np.array(tokens, dtype=np.int32), np.array(starts, dtype=np.bool_)


def _read_dictionary(path: Path) -> list[tuple[str, int | None]]:
    import jieba

    where = f"pretraining.text.user_dictionary '{path}'"
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where} is not UTF-8: convert it (iconv -f GB18030 -t UTF-8)") from None
    entries: list[tuple[str, int | None]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        word, frequency, _tag = jieba.re_userdict.match(line.strip()).groups()
        if frequency is not None and int(frequency) == 0:
            raise ConfigError(
                f"{where}, line {number}: frequency 0 would forbid the word; leave it out"
            )
        entries.append((word, None if frequency is None else int(frequency)))
    return entries
