"""Labelled clips as training sees them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from persona_ray.types import ClipInfo, Example, Split


def labelled_examples(
    infos: Iterable[ClipInfo], labels: Mapping[str, str], splits: Mapping[str, Split]
) -> list[Example]:
    """Clips that have both a label and a split, in the order of `infos`.

    `labels` and `splits` are by clip id.
    """
    return [
        Example(
            clip_id=info.clip_id,
            customer_id=info.customer_id,
            label=labels[info.clip_id],
            split=splits[info.clip_id],
            text=info.text,
            duration_s=info.duration_s,
        )
        for info in infos
        if info.clip_id in labels and info.clip_id in splits
    ]


def customer_labels(votes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each customer's label, of the (customer, label) of all labelled clips: the most frequent; of
    equals, the first by name."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for customer_id, label in votes:
        counts[customer_id][label] += 1
    return {who: min(own, key=lambda label: (-own[label], label)) for who, own in counts.items()}
