"""Training, dev and test: by customer, stratified by label, stable under growth.

An assignment, once made, stands in the store. New customers are dealt in the order of a salted
hash, so that a first deal does not depend on the order of the clips. Each goes to the split that
its label (then, where it hardly matters, the whole corpus) lacks most against its share.

The number of a label's customers in a split stays within one of its share of them. Proof: with
the new customer counted, the deficits (share x customers - customers in the split) sum to 1, so
the largest is at least 1/3, and the split chosen lacks at least 1/3 - NEAR_TIE = 0.18. After it
lacks at least -0.82, and so do all, for deficits only grow until a split is chosen. Let D be the
largest deficit left. If the chosen split was near the largest only, D < MAX_FREE. Otherwise it
had D or more before, so has D - 1 or more; the three sum to 0: 0 >= D + (D - 1) - 0.82, D <= 0.91.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from persona_ray.config.corpus import SplitConfig
from persona_ray.corpus.examples import customer_labels
from persona_ray.store import Assignment, Store
from persona_ray.types import ClipInfo, Split

# Splits whose deficit is this close to the largest may be chosen for the sake of the whole corpus,
# as long as the largest is below MAX_FREE customers.
NEAR_TIE = 0.15
MAX_FREE = 0.5


def assign_splits(
    store: Store, infos: Iterable[ClipInfo], labels: Mapping[str, str], config: SplitConfig
) -> dict[str, Split]:
    """The split of each clip, by clip id; new customers (or sentences) are dealt and kept.

    By customer: a customer with no labelled clip waits until there is one, and has no clips in the
    result; all clips of the others are in it, labelled or not. By sentence: the labelled clips.
    """
    if config.unit == "sentence":
        return _by_sentence(store, infos, labels, config)
    customer_of = {info.clip_id: info.customer_id for info in infos}
    strata = customer_labels(
        (customer_id, labels[clip_id])
        for clip_id, customer_id in customer_of.items()
        if clip_id in labels
    )
    assignments = store.splits.extend(
        config.salt, "customer", lambda standing: deal(standing, strata, config)
    )
    return {
        clip_id: assignments[customer_id].split
        for clip_id, customer_id in customer_of.items()
        if customer_id in assignments
    }


def deal(
    standing: Mapping[str, Assignment], strata: Mapping[str, str], config: SplitConfig
) -> list[Assignment]:
    """Assignments of the customers in `strata` (customer -> label) that have none in `standing`."""
    shares = _shares(config)
    by_label: dict[str, Counter[Split]] = {}
    overall: Counter[Split] = Counter()
    for item in standing.values():
        by_label.setdefault(item.label, Counter())[item.split] += 1
        overall[item.split] += 1
    dealt = []
    for customer_id in sorted(
        strata.keys() - standing.keys(), key=lambda name: (_hash(config.salt, name), name)
    ):
        label = strata[customer_id]
        counts = by_label.setdefault(label, Counter())
        split = _most_wanting(shares, counts, overall)
        counts[split] += 1
        overall[split] += 1
        dealt.append(Assignment(customer_id, customer_id, split, label))
    return dealt


def _most_wanting(
    shares: Mapping[Split, float], counts: Counter[Split], overall: Counter[Split]
) -> Split:
    """The split for the next customer, given the customers of its label and of all labels."""
    own = _deficits(shares, counts)
    whole = _deficits(shares, overall)
    largest = max(own.values())
    # Sums of shares are not exact: what differs in the ninth decimal is equal.
    slack = NEAR_TIE if largest < MAX_FREE else 1e-9
    free = [split for split in shares if own[split] >= largest - slack]
    return max(free, key=lambda split: (round(whole[split], 9), round(own[split], 9)))


def _deficits(shares: Mapping[Split, float], counts: Counter[Split]) -> dict[Split, float]:
    total = counts.total() + 1
    return {split: share * total - counts[split] for split, share in shares.items()}


def _by_sentence(
    store: Store, infos: Iterable[ClipInfo], labels: Mapping[str, str], config: SplitConfig
) -> dict[str, Split]:
    customer_of = {info.clip_id: info.customer_id for info in infos if info.clip_id in labels}

    def deal_clips(standing: Mapping[str, Assignment]) -> Collection[Assignment]:
        return [
            Assignment(clip_id, customer_id, _hashed_split(clip_id, config), labels[clip_id])
            for clip_id, customer_id in customer_of.items()
            if clip_id not in standing
        ]

    assignments = store.splits.extend(config.salt, "sentence", deal_clips)
    return {clip_id: assignments[clip_id].split for clip_id in customer_of}


def _hashed_split(clip_id: str, config: SplitConfig) -> Split:
    place = _hash(config.salt, clip_id) / 2**64
    if place < config.train:
        return Split.TRAIN
    return Split.DEV if place < config.train + config.dev else Split.TEST


def _shares(config: SplitConfig) -> dict[Split, float]:
    return {Split.TRAIN: config.train, Split.DEV: config.dev, Split.TEST: config.test}


def _hash(salt: str, name: str) -> int:
    """64 bits that differ for every salt; the same in every process and release."""
    digest = hashlib.sha256(f"{salt}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
