"""Masked whole words and next-sentence pairs: what is hidden, and the loss of guessing it.

Devlin et al. 2019 (BERT, arXiv 1810.04805) with the whole words of Cui et al. 2021 (BERT-wwm,
arXiv 1906.08101). Legend of shapes: batch, tokens (padded), targets (masked tokens of a batch),
width (of the encoder), vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

# Of the chosen tokens: [MASK], a random token; the rest stay as they are (BERT, appendix A.1).
MASKED, RANDOM = 0.8, 0.1
# Label of an item that has no second segment.
NO_PAIR = -100


def choose_words(
    starts: NDArray[np.bool_],
    barred: NDArray[np.bool_],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """The tokens to predict, (tokens,): about `share` of them, by whole words, at least one word.

    `starts` says where words begin (the first token does), `barred` which tokens are not to be
    predicted (a word with one is left alone). Words are drawn in random order until `share` of the
    tokens is reached; the word that would pass it is taken with the probability of what is missing
    over its length, so that on average the share is met and long words are drawn as often as short
    ones. (BERT's own script skips words that do not fit, by which a sentence of less than ten
    characters would never be asked for a word of two; clips of calls are that short.)
    """
    chosen = np.zeros(len(starts), dtype=np.bool_)
    if len(starts) == 0:
        return chosen
    first = np.flatnonzero(starts)
    lengths = np.diff(np.append(first, len(starts)))
    whole = np.flatnonzero(np.add.reduceat(barred, first) == 0)
    if len(whole) == 0:
        return chosen
    order = rng.permutation(whole)
    filled = np.cumsum(lengths[order])
    goal = share * len(starts)
    taken = int(np.searchsorted(filled, goal, side="right"))
    if taken < len(order):
        missing = goal - (filled[taken - 1] if taken else 0)
        taken += int(rng.random() * lengths[order[taken]] < missing)
    for word in order[: max(taken, 1)]:
        chosen[first[word] : first[word] + lengths[word]] = True
    return chosen


def hide(
    tokens: NDArray[np.int32],
    chosen: NDArray[np.bool_],
    mask_token: int,
    replacements: NDArray[np.int32],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """`tokens` (tokens,) with the chosen ones hidden: 80 % [MASK], 10 % random, 10 % unchanged.

    `replacements` are the tokens that may stand in. Drawn for each token on its own, also within
    a word, as BERT's script for whole words does (create_pretraining_data.py in
    google-research/bert).
    """
    hidden = tokens.copy()
    places = np.flatnonzero(chosen)
    draw = rng.random(len(places))
    hidden[places[draw < MASKED]] = mask_token
    random = places[(draw >= MASKED) & (draw < MASKED + RANDOM)]
    hidden[random] = rng.choice(replacements, size=len(random))
    return hidden


class MaskedWords(nn.Module):
    """A Hugging Face model with a masked-word head, as the training loop calls it.

    The head sees the masked positions alone: the vocabulary projection is most of a small model's
    work, and six tokens of seven are not asked for.
    """

    def __init__(
        self, model: Any, next_sentence: bool = False, only: frozenset[str] | None = None
    ) -> None:
        """`model`: any AutoModelForMaskedLM; with `next_sentence`, one with that head too.

        `only`: names of the model's parameters that are trained (new heads); the encoder is then
        frozen and in eval mode. Otherwise all are, but for a pooler that no loss depends on.
        """
        super().__init__()
        self.model = model
        self._next_sentence = next_sentence
        self._frozen = only is not None
        self._positions: Tensor | None = None
        model.base_model.register_forward_hook(self._gather)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(
                name in only if only is not None else next_sentence or ".pooler." not in name
            )
        self.train(self.training)

    def train(self, mode: bool = True) -> MaskedWords:
        super().train(mode)
        if self._frozen:
            self.model.base_model.eval()
        return self

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sums over the targets, in float32; see `objectives.base.PretrainingTask`.

        `inputs`: what the model takes (`input_ids`, `attention_mask`, ...: (batch, tokens)),
        `positions` (targets,) into the flattened batch and `targets` (targets,); `pairs` (batch,)
        with 0 for a segment that follows, 1 for a foreign one, NO_PAIR for none.
        """
        tokens = {
            name: tensor
            for name, tensor in inputs.items()
            if name not in ("positions", "targets", "pairs")
        }
        self._positions = inputs["positions"]
        try:
            outputs = self.model(**tokens)
        finally:
            self._positions = None
        if self._next_sentence:
            words, pairs = outputs.prediction_logits, outputs.seq_relationship_logits
        else:
            words, pairs = outputs.logits, None
        result = _scores("masked", words[0], inputs["targets"])
        if pairs is not None:
            result |= _scores("pairs", pairs, inputs["pairs"])
        return result

    def _gather(self, _module: nn.Module, _arguments: Any, output: Any) -> Any:
        """Of the encoder's output only the masked positions go on to the head."""
        if self._positions is None:
            return output
        hidden = output.last_hidden_state
        picked = hidden.flatten(0, 1).index_select(0, self._positions).unsqueeze(0)
        return type(output)(**{**output, "last_hidden_state": picked})


def _scores(term: str, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Summed cross entropy and right answers: logits (n, classes), targets (n,)."""
    logits = logits.float()
    with torch.no_grad():
        correct = (logits.argmax(dim=-1) == targets).sum()
    return {
        f"{term}.loss": F.cross_entropy(logits, targets, reduction="sum", ignore_index=NO_PAIR),
        f"{term}.correct": correct,
    }
