"""The leakage check finds what was planted, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.asr.text import normalise
from persona_ray.config.corpus import SplitConfig
from persona_ray.corpus import leakage
from persona_ray.corpus.leakage import (
    character_pairs,
    check_leakage,
    find_leakage,
    jaccard,
)
from persona_ray.errors import LeakageError
from persona_ray.types import ClipInfo, Split
from tests.unit.splits.clips import clip

FAIL = SplitConfig()
DROP = SplitConfig(repeated_text="drop")
CHARACTERS = [chr(0x4E00 + number) for number in range(800)]


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(CHARACTERS, k=draw.randint(10, 30))) for _ in range(count)]


def corpus(
    said: Sequence[tuple[str, Split, str]],
) -> tuple[list[ClipInfo], dict[str, Split]]:
    """Clips of (customer, split, text)."""
    clips = [clip(who, number, text) for number, (who, _, text) in enumerate(said)]
    splits = {item.clip_id: split for item, (_, split, _) in zip(clips, said, strict=True)}
    return clips, splits


def test_clean_splits_pass_whole() -> None:
    said = [
        (f"u{n}", Split.TRAIN if n % 3 else Split.TEST, text) for n, text in enumerate(texts(60))
    ]
    clips, splits = corpus(said)
    report = check_leakage(iter(clips), splits, FAIL)
    assert report.clean == splits
    assert (report.customers, report.texts, report.dropped) == ((), (), ())
    assert report.held_out_texts == 20


def test_a_customer_in_two_splits_fails_the_job() -> None:
    one, two, three = texts(3)
    clips, splits = corpus(
        [("u1", Split.TRAIN, one), ("u1", Split.TEST, two), ("u2", Split.DEV, three)]
    )
    for config in (FAIL, DROP):
        with pytest.raises(
            LeakageError, match=r"1 customers stand in two splits: u1 \(train, test\)"
        ) as caught:
            check_leakage(clips, splits, config)
        assert caught.value.exit_code == 5


SAME = ["这个，利率 是ＡＢＣ12！", "这个利率是abc１２"]


def test_a_text_in_two_splits_fails_the_job_however_it_is_written() -> None:
    clips, splits = corpus([("u1", Split.TRAIN, SAME[0]), ("u2", Split.DEV, SAME[1])])
    with pytest.raises(LeakageError, match=r"1 texts stand in two splits: .* \(train 1, dev 1\)"):
        check_leakage(clips, splits, FAIL)


def test_repeated_texts_are_dropped_from_dev_and_test_where_asked() -> None:
    other, third = texts(2)
    clips, splits = corpus(
        [
            ("u1", Split.TRAIN, SAME[0]),
            ("u1", Split.TRAIN, other),
            ("u2", Split.DEV, SAME[1]),
            ("u3", Split.TEST, SAME[1]),
            ("u3", Split.TEST, third),
            ("u4", Split.TEST, third),
        ]
    )
    report = check_leakage(clips, splits, DROP)
    assert report.dropped == ("u2-2", "u3-3")
    assert report.clean == {
        key: split for key, split in splits.items() if key not in report.dropped
    }
    assert len(report.texts) == 1
    # What is clean now is clean by the stricter rule too.
    assert check_leakage(clips, report.clean, FAIL).texts == ()


def test_a_split_by_sentence_is_measured_not_failed() -> None:
    one, two = texts(2)
    clips, splits = corpus([("u1", Split.TRAIN, one), ("u1", Split.TEST, two)])
    report = check_leakage(clips, splits, SplitConfig(unit="sentence"))
    assert [str(leak) for leak in report.customers] == ["u1 (train, test)"]


def test_clips_without_split_or_without_letters_count_for_nothing() -> None:
    clips, splits = corpus([("u1", Split.TRAIN, "……"), ("u2", Split.TEST, "！？")])
    clips.append(replace(clips[0], clip_id="unsplit", customer_id="u2"))
    report = check_leakage(clips, splits, FAIL)
    assert report.held_out_texts == 0


def changed(text: str, draw: random.Random) -> str:
    """The text with one to four characters put before or after it, or one replaced."""
    if draw.random() < 0.3:
        place = draw.randrange(len(text))
        return text[:place] + draw.choice(CHARACTERS) + text[place + 1 :]
    more = "".join(draw.choices(CHARACTERS, k=draw.randint(1, 4)))
    return draw.choice([more + text, text + more])


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(threshold: float) -> None:
    draw = random.Random(1)
    originals = texts(400, seed=2)
    said = [(f"a{n}", Split.TRAIN, text) for n, text in enumerate(originals)]
    said += [
        (f"b{n}", draw.choice([Split.TRAIN, Split.DEV, Split.TEST]), changed(text, draw))
        for n, text in enumerate(originals)
    ]
    clips, splits = corpus(said)
    report = find_leakage(clips, splits, SplitConfig(near_duplicate=threshold))

    sets = [(split, character_pairs(normalise(text))) for _, split, text in said]
    truth = 0
    for number, (split, pairs) in enumerate(sets):
        for other_split, other in sets[:number]:
            truth += split is not other_split and jaccard(pairs, other) >= threshold
    assert truth > 40
    assert 0.98 * truth <= report.near_duplicate_pairs <= truth
    assert report.near_duplicate_texts <= report.held_out_texts
    assert len(report.near_duplicates) == min(report.near_duplicate_pairs, leakage.LISTED_PAIRS)
    similarities = [pair.similarity for pair in report.near_duplicates]
    assert similarities == sorted(similarities, reverse=True)
    for pair in report.near_duplicates:
        assert pair.held_out_split is not pair.other_split
        own, other = (character_pairs(normalise(text)) for text in (pair.held_out, pair.other))
        assert jaccard(own, other) == pair.similarity >= threshold


def test_a_text_that_only_resembles_its_own_split_is_no_near_duplicate() -> None:
    text = texts(1)[0]
    close = text[:-1] + "好"
    clips, splits = corpus([("u1", Split.TEST, text), ("u2", Split.TEST, close)])
    assert find_leakage(clips, splits, FAIL).near_duplicate_pairs == 0
    splits["u2-1"] = Split.DEV
    report = find_leakage(clips, splits, FAIL)
    assert (report.near_duplicate_pairs, report.near_duplicate_texts) == (1, 2)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2", "u3"]),
            st.sampled_from(Split),
            st.sampled_from(["甲乙丙丁", "甲乙，丙丁", "戊己庚辛", "壬癸", "。"]),
        ),
        max_size=12,
    )
)
def test_exact_leaks_are_those_of_the_definition(said: list[tuple[str, Split, str]]) -> None:
    clips, splits = corpus(said)
    report = find_leakage(clips, splits, DROP)
    of_customer: dict[str, set[Split]] = {}
    of_text: dict[str, set[Split]] = {}
    for who, split, text in said:
        of_customer.setdefault(who, set()).add(split)
        if normalise(text):
            of_text.setdefault(normalise(text), set()).add(split)
    assert [leak.customer_id for leak in report.customers] == sorted(
        who for who, found in of_customer.items() if len(found) > 1
    )
    assert sorted(normalise(leak.text) for leak in report.texts) == sorted(
        text for text, found in of_text.items() if len(found) > 1
    )
    kept = [(item, report.clean[item.clip_id]) for item in clips if item.clip_id in report.clean]
    held_out = {normalise(item.text) for item, split in kept if split is not Split.TRAIN} - {""}
    trained = {normalise(item.text) for item, split in kept if split is Split.TRAIN}
    assert not held_out & trained
