"""The text tower that reads character n-grams: a linear look at key words.

Where some hundred texts of each label are all there is, n-grams tell them apart as well as a small
Transformer built from nothing, in a hundredth of its time (docs/decisions/0027-call-category.md).

A text is its lines. The first line and the others are two fields with n-grams of their own, since
what a caller says first tells most. An n-gram weighs (1 + ln tf) (1 + ln((1 + N) / (1 + df))), as
TF-IDF does over N lines of training (Salton and Buckley 1988, smoothed as in scikit-learn), each
field brought to length 1; the vector of a text is the weighted sum of learned vectors of its
n-grams (Joulin et al. 2017, "Bag of Tricks"). In training a share of the n-grams is left out (Wager
et al. 2013, "Dropout Training as Adaptive Regularization").
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from persona_ray.asr.text import normalise
from persona_ray.config.learning import GramsConfig
from persona_ray.errors import EncoderError
from persona_ray.models.text import TextTower
from persona_ray.models.tower import hash_weights

GRAMS = "grams.json"
WEIGHTS = "grams.safetensors"
# Of what grams.json says.
FORM = 1
# Spread of the n-grams' vectors before training.
_INIT_STD = 0.1

Known = tuple[dict[str, int], dict[str, int]]


class GramEncoder(TextTower):
    """Texts in, weighted sums over their n-grams out; an n-gram that is not known counts nothing.

    Punctuation, case and spaces are not read, as recognisers differ in them.
    """

    pooling = "grams"

    def __init__(
        self, config: GramsConfig, fields: tuple[Sequence[str], Sequence[str]], max_tokens: int
    ) -> None:
        """`fields`: the n-grams of first lines and of other lines; `max_tokens`: characters of a
        text that are read, the first first."""
        super().__init__()
        self.config = config
        self.max_tokens = max_tokens
        # 0 stands for nothing.
        first = {gram: at for at, gram in enumerate(fields[0], 1)}
        later = {gram: at for at, gram in enumerate(fields[1], 1 + len(first))}
        self._known: Known = (first, later)
        size = 1 + len(first) + len(later)
        self.model = nn.EmbeddingBag(size, config.features, mode="sum", padding_idx=0)
        nn.init.normal_(self.model.weight, std=_INIT_STD)
        with torch.no_grad():
            self.model.weight[0] = 0.0
        self.idf: Tensor
        self.register_buffer("idf", torch.ones(size))
        self.set_frozen(False)

    @property
    def features(self) -> int:
        return int(self.model.embedding_dim)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` (batch, n-grams), 0 where there is none, and what each weighs (`weights`)."""
        idf = self.idf.tolist()
        rows = [self._read(text, idf) for text in texts]
        longest = max([1, *(len(row) for row in rows)])
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        weights = torch.zeros(len(rows), longest)
        for at, row in enumerate(rows):
            if row:
                ids[at, : len(row)] = torch.tensor([gram for gram, _ in row])
                weights[at, : len(row)] = torch.tensor([weight for _, weight in row])
        return {"input_ids": ids, "weights": weights}

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Vectors (batch, features); that of a text without a known n-gram is 0."""
        weights = tokens["weights"]
        if self.training and self.config.dropout:
            weights = nn.functional.dropout(weights, self.config.dropout)
        vectors: Tensor = self.model(tokens["input_ids"], per_sample_weights=weights)
        return vectors

    def save(self, folder: Path) -> None:
        """grams.json: the n-grams in the order of their vectors; grams.safetensors."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "form": FORM,
            "config": self.config.model_dump(mode="json"),
            "first": list(self._known[0]),
            "later": list(self._known[1]),
        }
        (folder / GRAMS).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        weights = {"vectors": self.model.weight, "idf": self.idf}
        save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, max_tokens: int) -> GramEncoder:
        """From what `save` wrote; raises EncoderError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            about = json.loads((folder / GRAMS).read_text(encoding="utf-8"))
            if about["form"] != FORM:
                raise ValueError(f"form {about['form']}, known is {FORM}")
            fields = (about["first"], about["later"])
            tower = cls(GramsConfig.model_validate(about["config"]), fields, max_tokens)
            found = load_file(folder / WEIGHTS)
            with torch.no_grad():
                for name, into in (("vectors", tower.model.weight), ("idf", tower.idf)):
                    if found[name].shape != into.shape:
                        raise ValueError(f"{name} are {tuple(found[name].shape)}")
                    into.copy_(found[name])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            detail = " ".join(str(error).split())[:200]
            raise EncoderError(
                f"model.text.path '{folder}' holds no n-grams that can be read ({detail}): copy "
                "the folder again"
            ) from None
        return tower

    def fingerprint(self) -> str:
        described = {"tower": type(self).__name__, **self._preprocessing()}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
        hash_weights(digest, self)
        return digest.hexdigest()

    def _preprocessing(self) -> dict[str, Any]:
        return {
            "form": FORM,
            "config": self.config.model_dump(mode="json"),
            "first": list(self._known[0]),
            "later": list(self._known[1]),
            "max_tokens": self.max_tokens,
        }

    def _read(self, text: str, idf: Sequence[float]) -> list[tuple[int, float]]:
        lines = lines_of(text, self.max_tokens)
        config = self.config
        first, later = Counter[int](), Counter[int]()
        for number, line in enumerate(lines):
            into = later if number else first
            longest = config.later if number else config.first
            known = self._known[bool(number)]
            into.update(known[gram] for gram in grams(line, longest) if gram in known)
        return [*_weighed(first, idf, 1.0), *_weighed(later, idf, config.later_weight)]


def gram_encoder(config: GramsConfig, texts: Iterable[str], max_tokens: int) -> GramEncoder:
    """With the n-grams of `texts` (those of training) that stand in `config.least` different lines.

    Draws from torch's global random state. Raises EncoderError where there are none.
    """
    # Texts of one dialogue begin alike: a line counts once.
    first_lines: dict[str, None] = {}
    later_lines: dict[str, None] = {}
    for text in texts:
        for number, line in enumerate(lines_of(text, max_tokens)):
            (later_lines if number else first_lines)[line] = None
    first = _frequent(first_lines, config.first, config.least)
    later = _frequent(later_lines, config.later, config.least) if config.later else {}
    if not first:
        raise EncoderError(
            f"no n-gram stands in {config.least} different lines of the training texts: lower "
            "model.text.grams.least, or train on more texts"
        )
    tower = GramEncoder(config, (list(first), list(later)), max_tokens)
    rarities = [
        math.log((1 + len(lines)) / (1 + count)) + 1
        for lines, counts in ((first_lines, first), (later_lines, later))
        for count in counts.values()
    ]
    tower.idf.copy_(torch.tensor([0.0, *rarities]))
    return tower


def lines_of(text: str, longest: int) -> list[str]:
    """Normalised lines that have a letter, `longest` characters in all."""
    lines, left = [], longest
    for line in map(normalise, text.splitlines()):
        if line and left:
            lines.append(line[:left])
            left -= len(lines[-1])
    return lines


def grams(line: str, longest: int) -> Iterator[str]:
    """Character n-grams of 1 to `longest`, with marks where the line begins and ends."""
    marked = f"^{line}$"
    for size in range(1, longest + 1):
        for start in range(len(marked) - size + 1):
            yield marked[start : start + size]


def _frequent(lines: Iterable[str], longest: int, least: int) -> dict[str, int]:
    """Lines that each n-gram stands in, the most frequent first."""
    counts = Counter[str]()
    for line in lines:
        counts.update(set(grams(line, longest)))
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {gram: count for gram, count in order if count >= least}


def _weighed(
    found: Mapping[int, int], idf: Sequence[float], length: float
) -> list[tuple[int, float]]:
    rows = [(gram, (1 + math.log(count)) * idf[gram]) for gram, count in sorted(found.items())]
    norm = math.sqrt(sum(weight * weight for _, weight in rows))
    return [(gram, length * weight / norm) for gram, weight in rows]
