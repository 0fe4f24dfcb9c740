"""Labelled clips as training sees them."""

from __future__ import annotations

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
