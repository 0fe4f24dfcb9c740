"""N-gram vectors that begin as the coefficients of a logistic regression.

From noise, a few epochs by Adam give rare n-grams too much weight, and stop short of what the same
n-grams tell a convex fit (docs/decisions/0027-call-category.md). The fit is seconds; the trainer
goes on from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from persona_ray.errors import ModelError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.grams import GramEncoder

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Inverse strength of the L2 penalty; 1 to 10 do alike.
_C = 3.0
# Looser than scikit-learn's: the trainer goes on.
_TOLERANCE, _MOST_STEPS = 3e-3, 100
# Of the head: logits this many times the normalised vector fit unseen texts best.
_SCALE = 4.0
# Texts that are spread over n-grams at a time.
_BATCH = 256


def start_from_regression(model: BimodalModel, texts: Sequence[str], truth: Sequence[str]) -> None:
    """Set the first features of the model's text tower, which must read n-grams, to how much each
    n-gram speaks for each label, and the head to read just these. `truth`: each text's label.

    The other features keep their noise: beside it a vector without evidence stays small when it is
    normalised. Raises ModelError where labels outnumber features, or `truth` has fewer than two.
    """
    from sklearn.linear_model import LogisticRegression

    tower = model.text
    if not isinstance(tower, GramEncoder):
        raise ModelError("model.text.grams.start = regression: set model.text.reads = grams")
    if tower.features < len(model.labels):
        raise ModelError(
            f"model.text.grams.features {tower.features} < {len(model.labels)} labels: raise it, "
            "or set model.text.grams.start = noise"
        )
    if len(set(truth)) < 2:
        raise ModelError(
            f"texts of {len(set(truth))} label(s) to start from: give texts of two labels or more, "
            "or set model.text.grams.start = noise"
        )
    # Without an intercept the fit stops at once; the head learns its own.
    regression = LogisticRegression(C=_C, tol=_TOLERANCE, max_iter=_MOST_STEPS)
    regression.fit(_matrix(tower, texts), list(truth))
    found = torch.from_numpy(regression.coef_).float()
    if len(found) == 1:
        found = torch.cat([-found, found]) / 2
    at = [model.labels.index(str(label)) for label in regression.classes_]
    before = model.classifier.in_features - tower.features
    with torch.no_grad():
        tower.model.weight[:, : len(model.labels)] = 0.0
        tower.model.weight[:, at] = found.T
        model.classifier.bias.zero_()
        model.classifier.weight[:, before:] = 0.0
        for label in range(len(model.labels)):
            model.classifier.weight[label, before + label] = _SCALE


def _matrix(tower: GramEncoder, texts: Sequence[str]) -> csr_matrix:
    """(texts, n-grams): what each n-gram weighs in each text."""
    from scipy.sparse import csr_matrix, vstack

    parts: list[Any] = []
    size = tower.model.num_embeddings
    for start in range(0, len(texts), _BATCH):
        tokens = tower.tokenize(texts[start : start + _BATCH])
        known = tokens["input_ids"] > 0
        rows, _ = known.nonzero(as_tuple=True)
        values, columns = tokens["weights"][known], tokens["input_ids"][known]
        shape = (len(known), size)
        parts.append(csr_matrix((values.numpy(), (rows.numpy(), columns.numpy())), shape=shape))
    return vstack(parts, format="csr")
