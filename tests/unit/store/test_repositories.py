"""The repositories, on both databases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from persona_ray.store import Annotation, Assignment, SaveCounts, Store, expand_url, open_store
from persona_ray.types import Split
from tests.unit.store.forked import at_once

WHEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=8)))


def annotation(number: int = 0, annotator: str = "wang", label: str = "red") -> Annotation:
    return Annotation(
        annotator=annotator,
        label=label,
        call_id=f"call-{number}",
        start_s=number + 0.25,
        end_s=number + 2.5,
        note="听不出来",
        source="labels.csv",
        created_at=WHEN,
    )


def test_an_annotation_comes_back_as_it_went_in(store: Store) -> None:
    by_clip = Annotation(annotator="王", label="红", clip_id="c'1\"; --", customer_id="k")
    store.annotations.save([annotation(), by_clip])
    first, second = store.annotations.all()
    assert {first.target, second.target} == {annotation().target, by_clip.target}
    found = first if first.clip_id is None else second
    assert found == annotation()
    assert found.created_at is not None
    assert found.created_at.utcoffset() == timedelta(0)
    named = second if found is first else first
    assert (named.clip_id, named.annotator, named.call_id) == (by_clip.clip_id, "王", None)
    assert named.created_at is not None
    assert abs(named.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_saving_again_changes_nothing_and_a_new_label_updates(store: Store) -> None:
    items = [annotation(number) for number in range(1200)]
    assert store.annotations.save(items) == SaveCounts(added=1200)
    before = list(store.annotations.all())
    assert store.annotations.save(items) == SaveCounts(unchanged=1200)
    assert list(store.annotations.all()) == before
    counts = store.annotations.save([annotation(7, label="blue"), annotation(7, "li")])
    assert counts == SaveCounts(added=1, updated=1)
    assert store.annotations.count() == 1201


def test_an_update_keeps_what_it_does_not_know(store: Store) -> None:
    known = Annotation(
        annotator="wang", label="red", clip_id="c", call_id="k", start_s=1.0, end_s=2.0,
        customer_id="u", created_at=WHEN,
    )  # fmt: skip
    store.annotations.save([known])
    store.annotations.save([Annotation(annotator="wang", label="blue", clip_id="c")])
    (found,) = store.annotations.all()
    assert (found.label, found.span, found.customer_id) == ("blue", ("k", 1.0, 2.0), "u")
    assert found.created_at == WHEN


def test_nothing_is_saved_when_one_fails(store: Store) -> None:
    bad = annotation(1)
    object.__setattr__(bad, "label", None)
    with pytest.raises(Exception, match=r"(?i)null"):
        store.annotations.save([annotation(0), bad])
    assert store.annotations.count() == 0


def test_concurrent_processes_import_the_same_and_other_annotations(store_url: str) -> None:
    code = """
who = f"p{number}"
with open_store(url) as store:
    for start in range(0, 200, 50):
        store.annotations.save(
            Annotation(annotator=name, label=who, call_id="k", start_s=float(n), end_s=n + 1.0)
            for n in range(start, start + 50) for name in ("shared", who)
        )
"""
    at_once(code, store_url, 3)
    with open_store(store_url) as store:
        found = list(store.annotations.all())
    assert len({(item.target, item.annotator) for item in found}) == len(found) == 200 * 4


def test_link_notes_the_customer_only_where_it_lacks(store: Store) -> None:
    known = Annotation(
        annotator="a", label="red", call_id="call-0", start_s=0.0, end_s=1.0, customer_id="old"
    )
    store.annotations.save([annotation(0), annotation(1), known])
    assert store.annotations.link({"call-0": "new", "call-9": "x"}) == 1
    found = {(item.call_id, item.annotator): item.customer_id for item in store.annotations.all()}
    assert found == {
        ("call-0", "wang"): "new", ("call-0", "a"): "old", ("call-1", "wang"): None
    }  # fmt: skip


def test_assignments_stand_and_differ_by_salt_and_unit(store: Store) -> None:
    def deal(split: Split, *keys: str) -> Collection[Assignment]:
        return [Assignment(key, key, split, "red") for key in keys]

    store.splits.extend("s", "customer", lambda _: deal(Split.TEST, "u1"))
    seen: list[Mapping[str, Assignment]] = []

    def second(standing: Mapping[str, Assignment]) -> Collection[Assignment]:
        seen.append(dict(standing))
        return deal(Split.TRAIN, "u2")

    combined = store.splits.extend("s", "customer", second)
    assert seen == [{"u1": Assignment("u1", "u1", Split.TEST, "red")}]
    assert store.splits.get("s", "customer") == combined
    assert {key: item.split for key, item in combined.items()} == {
        "u1": Split.TEST, "u2": Split.TRAIN
    }  # fmt: skip
    assert store.splits.get("other", "customer") == {}
    assert store.splits.get("s", "sentence") == {}
    with pytest.raises(ValueError, match="'u1' has an assignment"):
        store.splits.extend("s", "customer", lambda _: deal(Split.TRAIN, "u1"))
    assert store.splits.get("s", "customer") == combined


def test_two_jobs_never_deal_from_the_same_state(store_url: str) -> None:
    def job(number: int) -> None:
        with open_store(store_url) as store:

            def deal(standing: Mapping[str, Assignment]) -> Collection[Assignment]:
                return [Assignment(f"u{len(standing)}", f"job{number}", Split.TRAIN, "red")]

            for _ in range(5):
                store.splits.extend("s", "customer", deal)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(job, range(4)))
    with open_store(store_url) as store:
        assert sorted(store.splits.get("s", "customer")) == sorted(f"u{n}" for n in range(20))


def test_a_forgotten_customer_leaves_no_row(store: Store, store_url: str) -> None:
    linked = Annotation(annotator="a", label="red", clip_id="c1", customer_id="gone")
    unlinked = annotation(5)
    kept = Annotation(annotator="a", label="red", clip_id="c2", customer_id="stays")
    store.annotations.save([linked, unlinked, kept])
    gone = Assignment("gone", "gone", Split.TRAIN, "red")
    store.splits.extend("s", "customer", lambda _: [gone])
    store.splits.extend("s", "sentence", lambda _: [replace(gone, key="c1")])
    store.splits.extend("s", "customer", lambda _: [Assignment("k", "stays", Split.DEV, "red")])

    forgotten = store.forget_customer("gone", call_ids=["call-5"])

    assert (forgotten.annotations, forgotten.splits) == (2, 2)
    assert [item.clip_id for item in store.annotations.all()] == ["c2"]
    assert list(store.splits.get("s", "customer")) == ["k"]
    engine = create_engine(expand_url(store_url))
    with engine.connect() as connection:
        for table in ("annotations", "split_assignments"):
            for row in connection.execute(text(f"SELECT * FROM {table}")):
                assert "gone" not in row
                assert "call-5" not in row
    engine.dispose()


def test_an_annotation_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="clip_id"):
        Annotation(annotator="a", label="red", call_id="k", start_s=1.0)


def test_sqlite_files_hold_no_byte_of_a_forgotten_customer(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        store.annotations.save(
            Annotation(
                annotator="a", label="red", clip_id=f"c{n}", note="private matter",
                customer_id="stays" if n % 7 else "customer-31337",
            )
            for n in range(300)
        )  # fmt: skip
        deal = [Assignment("customer-31337", "customer-31337", Split.TRAIN, "red")]
        store.splits.extend("s", "customer", lambda _: deal)

        def found() -> bool:
            return any(b"customer-31337" in path.read_bytes() for path in tmp_path.iterdir())

        assert found()
        store.forget_customer("customer-31337")
        assert not found()
        assert store.annotations.count() == 257
