"""Splits by customer: quotas, stability under growth, independence of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.config.corpus import SplitConfig
from persona_ray.corpus.examples import labelled_examples
from persona_ray.corpus.splits import assign_splits, deal
from persona_ray.store import Assignment, Store, open_store
from persona_ray.types import Split
from tests.unit.splits.clips import clip

LABELS = ("red", "blue", "yellow", "green")
SHARES = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.7, 0.15, 0.15), (0.6, 0.3, 0.1), (0.34, 0.33, 0.33), (0.98, 0.01, 0.01)]
)
# A corpus that grows: batches of customers, each with its label.
GROWTH = st.lists(
    st.dictionaries(st.integers(0, 400).map("u{}".format), st.sampled_from(LABELS), max_size=60),
    min_size=1,
    max_size=6,
)


def config_of(shares: tuple[float, float, float] = (0.8, 0.1, 0.1), salt: str = "s") -> SplitConfig:
    train, dev, test = shares
    return SplitConfig(train=train, dev=dev, test=test, salt=salt)


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        yield opened


@settings(max_examples=60, deadline=None)
@given(growth=GROWTH, shares=SHARES, salt=st.text(max_size=3))
def test_nobody_moves_and_quotas_hold_while_the_corpus_grows(
    growth: Sequence[Mapping[str, str]], shares: tuple[float, float, float], salt: str
) -> None:
    config = config_of(shares, salt)
    standing: dict[str, Assignment] = {}
    for batch in growth:
        before = dict(standing)
        standing |= {item.key: item for item in deal(standing, batch, config)}
        assert before.items() <= standing.items()
        assert standing.keys() == before.keys() | batch.keys()
        for label in LABELS:
            splits = Counter(item.split for item in standing.values() if item.label == label)
            for split, share in zip(Split, shares, strict=True):
                assert abs(splits[split] - share * splits.total()) < 1


@settings(max_examples=60, deadline=None)
@given(
    strata=st.dictionaries(st.text(min_size=1, max_size=4), st.sampled_from(LABELS), max_size=80),
    data=st.data(),
)
def test_a_first_deal_does_not_depend_on_the_order_of_customers(
    strata: dict[str, str], data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(strata.items()))))
    first = {item.key: item.split for item in deal({}, strata, config_of())}
    assert {item.key: item.split for item in deal({}, shuffled, config_of())} == first


@pytest.mark.parametrize(
    ("customers", "expected"),
    [
        (1, {Split.TRAIN: 4}),
        (3, {Split.TRAIN: 10, Split.DEV: 1, Split.TEST: 1}),
        (5, {Split.TRAIN: 16, Split.DEV: 2, Split.TEST: 2}),
        (12, {Split.TRAIN: 40, Split.DEV: 4, Split.TEST: 4}),
        (20, {Split.TRAIN: 64, Split.DEV: 8, Split.TEST: 8}),
    ],
)
@pytest.mark.parametrize("salt", ["a", "b", "c"])
def test_small_strata_fill_dev_and_test_together(
    customers: int, expected: dict[Split, int], salt: str
) -> None:
    strata = {f"{label}{n}": label for label in LABELS for n in range(customers)}
    dealt = deal({}, strata, config_of(salt=salt))
    assert Counter(item.split for item in dealt) == expected
    if customers == 20:
        for label in LABELS:
            found = Counter(item.split for item in dealt if item.label == label)
            assert found == {Split.TRAIN: 16, Split.DEV: 2, Split.TEST: 2}


def test_the_salt_decides_who_falls_where() -> None:
    strata = {f"u{n}": "red" for n in range(40)}
    held_out = [
        {item.key for item in deal({}, strata, config_of(salt=salt)) if item.split is Split.TEST}
        for salt in ("a", "b")
    ]
    assert held_out[0] != held_out[1]


def test_a_deal_is_the_same_in_every_release() -> None:
    strata = {f"u{n}": "red" for n in range(20)}
    dealt = {item.key: item.split for item in deal({}, strata, SplitConfig())}
    assert sorted(key for key, split in dealt.items() if split is Split.DEV) == ["u3", "u8"]
    assert sorted(key for key, split in dealt.items() if split is Split.TEST) == ["u10", "u18"]


def test_clips_follow_their_customer_labelled_or_not(store: Store) -> None:
    clips = [clip(f"u{n}", k) for n in range(20) for k in range(3)]
    # u0 has no label at all; the first clip of the others has one.
    labels = {f"u{n}-0": "red" for n in range(1, 20)}
    splits = assign_splits(store, iter(clips), labels, SplitConfig())
    assert splits.keys() == {item.clip_id for item in clips if item.customer_id != "u0"}
    for n in range(1, 20):
        assert len({splits[f"u{n}-{k}"] for k in range(3)}) == 1
    examples = labelled_examples(clips, labels, splits)
    assert [item.clip_id for item in examples] == list(labels)
    assert examples[0].duration_s == 1.5
    assert {item.split for item in examples} == set(Split)


def test_new_calls_labels_and_customers_move_nobody(store: Store) -> None:
    clips = [clip(f"u{n}") for n in range(30)]
    labels = {item.clip_id: LABELS[n % 4] for n, item in enumerate(clips)}
    before = assign_splits(store, clips, labels, SplitConfig())
    grown = [clip(f"u{n}", k) for n in range(300) for k in range(4)]
    # The majority label of every old customer changes too.
    changed = labels | {item.clip_id: "red" for item in grown if item.clip_id not in labels}
    after = assign_splits(store, reversed(grown), changed, SplitConfig())
    assert before.items() <= after.items()
    assert store.splits.get("persona-ray", "customer")["u1"].label == "blue"


def test_a_customer_is_dealt_by_the_label_of_most_clips(store: Store) -> None:
    labels = {"u-0": "red", "u-1": "blue", "u-2": "blue", "t-0": "red", "t-1": "blue"}
    clips = [clip(key.split("-")[0], int(key[-1])) for key in labels]
    assign_splits(store, clips, labels, SplitConfig())
    found = store.splits.get("persona-ray", "customer")
    assert found["u"].label == "blue"
    # Of equally frequent labels the first by name, in whatever order they come.
    assert found["t"].label == "blue"


def test_by_sentence_each_labelled_clip_is_dealt_for_itself(store: Store) -> None:
    config = SplitConfig(unit="sentence")
    clips = [clip(f"u{n}", k) for n in range(40) for k in range(50)]
    labels = {item.clip_id: "red" for item in clips[:1000]}
    splits = assign_splits(store, clips, labels, config)
    assert splits.keys() == labels.keys()
    again = {item.clip_id: "red" for item in clips}
    grown = assign_splits(store, reversed(clips), again, config)
    assert splits.items() <= grown.items()
    counts = Counter(grown.values())
    # Binomial with n = 2000: five standard deviations.
    assert abs(counts[Split.TRAIN] - 1600) < 90
    assert abs(counts[Split.TEST] - 200) < 70
    assert store.splits.get(config.salt, "customer") == {}
    assert store.forget_customer("u3").splits == 50
