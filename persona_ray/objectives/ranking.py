"""What a ranker of scripts learns from: what was answered, and what came of it.

Contrastive: the script that went well must stand out among others. It is the cross-entropy of the
softmax over all scripts, InfoNCE of van den Oord et al. 2018, estimated from a few of them: the
scripts of the batch's other pairs, and hard ones of the same topic. A script that stands in many
pairs is met as a negative more often than it should be. Dividing each by the expected number of its
meetings mends that (Bengio and Senecal 2008; for scripts of the batch Yi et al. 2019).

Outcome: of pairs that were tried, the score says by a logistic regression whether it went well, so
that what went badly counts against its script.
"""

from __future__ import annotations

from torch import Tensor, nn

# In place of the score of a script that is left out.
_OUT = -1e9


def contrastive(scores: Tensor, own: Tensor, meetings: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over queries (0-d) of -log(exp(s_own) / (exp(s_own) + sum over the others of
    exp(s) * met / expected)).

    `scores` (Q, I); `own` (Q,): the column that each answered with; `meetings` (Q, I): how often a
    column was met as a negative over how often it is expected to be, 0 where it was not;
    `weights` (Q,).
    """
    own_column = nn.functional.one_hot(own, scores.shape[1]).bool()
    met = (meetings > 0) & ~own_column
    corrected = scores + meetings.clamp(min=1e-12).log()
    logits = corrected.masked_fill(~met, _OUT).where(~own_column, scores)
    losses = nn.functional.cross_entropy(logits, own, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=1e-12)


def outcome(scores: Tensor, went_well: Tensor) -> Tensor:
    """Mean (0-d) binary cross-entropy of the logits `scores` (Q,) with `went_well` (Q,), 0 to 1."""
    return nn.functional.binary_cross_entropy_with_logits(scores, went_well)
