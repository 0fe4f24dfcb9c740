"""Whom a model heard: what is written comes back, and an encoder's past is not lost."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.errors import BundleError
from persona_ray.models.bundle import contract_of, load_bundle, save_bundle
from persona_ray.models.lineage import LINEAGE, Heard, Lineage, Use, heard_before
from persona_ray.models.manifest import digest, verify
from persona_ray.types import Modality
from tests.unit.models.test_bimodal import small_model

ids = st.text(min_size=1, max_size=4)
# A clip has one customer and one label, however often it was used.
heard = st.builds(
    lambda clip, use: Heard(clip, f"of {clip[:1]}", use, "" if use is Use.PRETRAINING else "red"),
    ids,
    st.sampled_from(Use),
)


@settings(deadline=None)  # the first example imports pyarrow
@given(st.lists(heard, max_size=30))
def test_each_use_of_a_clip_is_kept_once_and_counted(rows: list[Heard]) -> None:
    lineage = Lineage.of(rows)
    assert set(lineage) == set(rows)
    assert len(lineage) == len(set(rows))
    expected: dict[str, Counter[Use]] = {}
    for row in set(rows):
        expected.setdefault(row.customer_id, Counter())[row.split] += 1
    assert lineage.customers() == expected
    for customer in expected:
        assert set(lineage.clips_of(customer)) == {r for r in rows if r.customer_id == customer}
    assert lineage.clips_of("nobody of that name") == []


def rows(customers: int = 3) -> list[Heard]:
    return [
        Heard(f"clip-{c}-{k}", f"customer-{c}", (Use.TRAIN, Use.DEV)[c % 2], "blue")
        for c in range(customers)
        for k in range(2)
    ]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lineage") / "bundle"
    model = small_model(Modality.TEXT)
    save_bundle(model, path, contract_of(model, "c", {}, {}), Lineage.of(rows()))
    return path


def test_a_bundle_holds_it_under_its_seal(bundle: Path, tmp_path: Path) -> None:
    assert list(Lineage.read(bundle)) == list(Lineage.of(rows()))
    assert LINEAGE in verify(bundle).files
    load_bundle(bundle)
    again = tmp_path / "again"
    model = small_model(Modality.TEXT)
    contract = contract_of(model, "c", {}, {})
    save_bundle(model, again, contract, Lineage.of(reversed(rows())))
    assert digest(again) == digest(bundle), "the same clips in another order"
    Lineage.of(rows(4)).write(again)
    with pytest.raises(BundleError, match=f"'{LINEAGE}' was changed"):
        load_bundle(again)


def test_a_bundle_without_it_loads_but_cannot_tell(tmp_path: Path) -> None:
    model = small_model(Modality.TEXT)
    save_bundle(model, tmp_path / "old", contract_of(model, "c", {}, {}))
    load_bundle(tmp_path / "old")
    with pytest.raises(BundleError, match=f"no {LINEAGE}, so that nobody knows whom it heard"):
        Lineage.read(tmp_path / "old")


@pytest.mark.parametrize("damage", ["not parquet", "other columns", "unknown use"])
def test_damage_is_one_line(tmp_path: Path, damage: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / LINEAGE
    if damage == "not parquet":
        file.write_bytes(b"PAR1 and no more")
    elif damage == "other columns":
        pq.write_table(pa.table({"clip": ["a"]}), file)
    else:
        row = {"clip_id": ["a"], "customer_id": ["b"], "split": ["seen"], "label": [""]}
        pq.write_table(pa.table(row), file)
    with pytest.raises(BundleError, match=r"lineage\.parquet is damaged") as caught:
        Lineage.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_encoders_past_goes_with_it(bundle: Path, tmp_path: Path) -> None:
    known = [Heard(r.clip_id, r.customer_id, Use.PRETRAINING) for r in Lineage.of(rows())]
    assert heard_before(str(bundle / "text")) == known, "a part of a bundle"
    encoder = tmp_path / "encoders" / "text"
    shutil.copytree(bundle / "text", encoder)
    assert heard_before(str(encoder)) == []
    Lineage.of(rows(1)).write(encoder)
    assert {row.customer_id for row in heard_before(str(encoder))} == {"customer-0"}
    assert heard_before("") == heard_before("hfl/chinese-roberta-wwm-ext-large") == []
