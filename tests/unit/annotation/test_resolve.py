"""One label for each clip."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.matching import ClipIndex, overlap
from persona_ray.corpus.annotation.resolve import resolve_labels
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation, Store
from tests.unit.annotation.corpus import info

WHEN = datetime(2024, 1, 1, tzinfo=UTC)
MAJORITY = AnnotationConfig()
ADJUDICATED = AnnotationConfig(resolution="adjudicated")


def save(store: Store, clip_id: str, votes: Mapping[str, str]) -> None:
    store.annotations.save(
        Annotation(annotator=name, label=label, clip_id=clip_id) for name, label in votes.items()
    )


@pytest.mark.parametrize(
    ("votes", "majority", "adjudicated"),
    [
        ("a=red", "red", "red"),
        ("a=red b=red c=blue", "red", "conflict"),
        ("a=red b=blue", "conflict", "conflict"),
        ("a=red b=blue c=yellow", "conflict", "conflict"),
        ("a=red b=red c=blue d=blue e=green", "conflict", "conflict"),
        ("a=red b=red", "red", "red"),
        ("a=uncertain b=uncertain c=red", "uncertain", "conflict"),
        ("a=uncertain", "uncertain", "uncertain"),
        ("a=uncertain b=red", "conflict", "conflict"),
        ("a=red b=red adjudicator=blue", "blue", "blue"),
        ("a=red b=blue adjudicator=blue", "blue", "blue"),
        ("a=red b=red adjudicator=uncertain", "uncertain", "uncertain"),
    ],
)
@pytest.mark.parametrize("config", [MAJORITY, ADJUDICATED], ids=["majority", "adjudicated"])
def test_votes_settle(
    store: Store, votes: str, majority: str, adjudicated: str, config: AnnotationConfig
) -> None:
    save(store, "c", dict(vote.split("=") for vote in votes.split()))
    resolution = resolve_labels(store, [info("c"), info("other")], config)
    expected = majority if config is MAJORITY else adjudicated
    assert resolution.unannotated == 1
    assert [item.clip_id for item in resolution.conflicts] == ["c"] * (expected == "conflict")
    assert list(resolution.uncertain) == ["c"] * (expected == "uncertain")
    settled = {"c": expected} if expected in MAJORITY.labels else {}
    assert resolution.labels == settled


def span(annotator: str, label: str, start_s: float, end_s: float, hours: int = 0) -> Annotation:
    return Annotation(
        annotator=annotator,
        label=label,
        call_id="call-1",
        start_s=start_s,
        end_s=end_s,
        created_at=WHEN + timedelta(hours=hours),
    )


def test_spans_belong_to_the_clip_they_overlap_most(store: Store) -> None:
    clips = [info("first", start_s=0, end_s=4), info("second", start_s=4, end_s=10)]
    store.annotations.save(
        [
            span("a", "red", 0.5, 4.5),  # 3.5 / 4.5 of first
            span("b", "blue", 3.5, 9.5),  # 5.5 / 6.5 of second
            span("c", "green", 2.0, 8.0),  # 2 / 8 of first, 4 / 8 of second
            span("d", "green", 2.0, 7.9),  # 3.9 / 8 of second: too little
        ]
    )
    resolution = resolve_labels(store, clips, MAJORITY)
    assert [item.annotator for item in resolution.unmatched] == ["d"]
    (conflict,) = resolution.conflicts
    assert conflict.clip_id == "second"
    assert conflict.votes == {"b": "blue", "c": "green"}
    assert resolution.labels == {"first": "red"}


def test_the_last_word_of_an_annotator_counts(store: Store) -> None:
    clips = [info("c", start_s=0, end_s=4)]
    store.annotations.save(
        [
            span("a", "red", 0, 4, hours=0),
            span("a", "blue", 0, 3.9, hours=2),
            span("a", "yellow", 0.1, 4, hours=1),
            span("b", "red", 0, 2.1, hours=0),
            span("b", "blue", 0, 4, hours=0),
        ]
    )
    assert resolve_labels(store, clips, MAJORITY).labels == {"c": "blue"}


def test_labels_survive_a_call_cut_anew(store: Store) -> None:
    corpus = [info("old", start_s=1, end_s=4)]
    index = ClipIndex(corpus)
    store.annotations.save([index.complete(Annotation(annotator="a", label="red", clip_id="old"))])
    recut = [info("new", start_s=1.2, end_s=4.1), info("far", start_s=9, end_s=12)]
    assert resolve_labels(store, recut, MAJORITY).labels == {"new": "red"}


def test_annotations_imported_before_their_call_learn_whose_they_are(store: Store) -> None:
    store.annotations.save([span("a", "red", 0, 1)])
    resolve_labels(store, [info("c", customer_id="u7")], MAJORITY)
    assert [item.customer_id for item in store.annotations.all()] == ["u7"]
    assert store.forget_customer("u7").annotations == 1


def test_a_label_that_is_no_longer_configured_is_named(store: Store) -> None:
    save(store, "c", {"a": "green", "b": "green"})
    with pytest.raises(AnnotationError, match=r"'green' \(2 annotations\); valid are red, blue"):
        resolve_labels(store, [info("c")], AnnotationConfig(labels=("red", "blue")))


def test_the_summary_says_what_was_left_out(store: Store) -> None:
    save(store, "c1", {"a": "red", "b": "red"})
    save(store, "c2", {"a": "red", "b": "blue"})
    save(store, "gone", {"a": "red"})
    lines = resolve_labels(store, [info(f"c{n}") for n in range(1, 5)], MAJORITY).describe()
    assert lines[0] == (
        "1 clips labelled (red 1), 0 uncertain, 1 in conflict, 2 not annotated, "
        "1 annotations without a clip"
    )
    assert "alpha 0.000" in lines[1]


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(0, 4, 2, 6) == pytest.approx(1 / 3)
    assert overlap(0, 4, 4, 6) == 0.0
    assert overlap(0, 1, 5, 6) == 0.0
    assert overlap(1, 2, 1, 2) == 1.0
