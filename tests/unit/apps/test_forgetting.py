"""Forgetting a person whole: nothing is left but what the receipt says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from persona_ray.apps.privacy import forgetting, keepers
from persona_ray.apps.privacy.forgetting import forget, forget_again
from persona_ray.apps.privacy.plan import Person
from persona_ray.apps.privacy.receipts import read_receipt
from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.errors import AuditError, ConfigError, CorpusError
from persona_ray.launch.archive.job import recognize_archive
from persona_ray.progress import SilentProgress
from persona_ray.store import open_audited
from persona_ray.store.audit_seal import PERSONS
from persona_ray.store.screening.call_records import StoredVerdict
from persona_ray.store.screening.records import NumberEntry
from persona_ray.store.tables import Base
from persona_ray.vault.signing import installation_folder
from tests.unit.apps.planted import (
    CALLS,
    CUSTOMER,
    LIVE,
    NOW,
    NUMBER,
    OTHER,
    OTHERS_SAID,
    SAID,
    USER,
    copied,
    found,
)

WHO = Person(customer=CUSTOMER, number=NUMBER)
# What a receipt says of: whom an encoder learned of.
TOLD = {"encoders/text/lineage.parquet"}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def config(planted: RunConfig, tmp_path: Path) -> RunConfig:
    return copied(planted, tmp_path / "run")


def _needles(config: RunConfig) -> dict[str, bytes | str]:
    corpus = CorpusDataset.open(config.corpus_dir)
    mine = [info for info in corpus.infos() if info.customer_id == CUSTOMER]
    assert len(mine) == 2
    clips: dict[str, bytes | str] = {f"clip {n}": info.clip_id for n, info in enumerate(mine)}
    digests: dict[str, bytes | str] = {
        f"digest {n}": corpus.digest(info.clip_id) for n, info in enumerate(mine)
    }
    names = dict(zip(("first call", "second call"), CALLS, strict=True))
    ids = {"customer": CUSTOMER, "number": NUMBER, "live call": LIVE, "said": SAID}
    return {**ids, **names, **clips, **digests, "escaped": json.dumps(SAID)[1:-1]}


def _places(hits: set[str]) -> set[str]:
    return {hit.partition(":")[0] for hit in hits}


def test_nothing_is_left_but_what_the_receipt_says(config: RunConfig) -> None:
    needles = _needles(config)
    before = _places(found(config.workspace, needles))
    # The search finds what there is to forget, in every place.
    kinds = {place.split("/")[0] for place in before}
    assert kinds >= {"corpus", "recognitions", "vectors", "store.sqlite", "jobs", "screening"}
    assert "report.html" in before
    assert any(place.startswith("vectors/front/") for place in before)
    assert any(place.startswith("corpus/units/") for place in before)
    fingerprint = CorpusDataset.open(config.corpus_dir).fingerprint
    done = forget(config, WHO, "user:test", SilentProgress())
    assert _places(found(config.workspace, needles)) == TOLD
    told = done.receipt
    # The bundle was saved without a word on whom it heard.
    learned = {one.bundle: (one.clips, bool(one.unknown)) for one in told.bundles}
    assert learned == {"bundle": (0, True), "encoders/text": (2, False)}
    assert told.deleted["clips and calls of the corpus"] == 4
    assert told.deleted["rows of annotations"] == 2
    assert told.deleted["uploads of jobs"] == 1
    assert told.deleted["checkpoints of unfinished training"] == 1
    # Others are as they were.
    corpus = CorpusDataset.open(config.corpus_dir)
    corpus.verify()
    assert {info.customer_id for info in corpus.infos()} == {OTHER}
    assert corpus.fingerprint != fingerprint
    assert OTHERS_SAID in {info.text for info in corpus.infos()}
    with open_audited(config) as store:
        assert store.customers() == {OTHER}
        assert [item.customer_id for item in store.annotations.all()] == [OTHER]
        entries = [(entry.action, entry.actor) for entry in store.audit.entries()]
        assert entries == [("screening.forget", "user:test"), ("forget", "user:test")]
        store.audit.verify()
        assert read_receipt(done.path, store.audit.seal) == told
    # What the archive still has is not taken again.
    assert build_corpus(config, SilentProgress()).new_calls == 0
    assert recognize_archive(config, SilentProgress()).run.new_calls == 0


@pytest.mark.parametrize("at", [1, 6, 8, 12])
def test_killed_after_any_place_the_same_command_ends_it(
    config: RunConfig, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    needles, made = _needles(config), keepers.keepers

    def killed(*arguments: Any) -> list[Any]:
        def kill(_: Any) -> int:
            raise KilledError

        whole = made(*arguments)
        return [*whole[:at], keepers.Keeper("killed", kill), *whole[at:]]

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "keepers", killed)
        with pytest.raises(KilledError):
            forget(config, WHO, "user:test", SilentProgress())
    done = forget(config, WHO, "user:test", SilentProgress())
    assert _places(found(config.workspace, needles)) == TOLD
    assert done.receipt.deleted["clips and calls of the corpus"] == 4


def test_a_user_goes_with_his_recordings(config: RunConfig) -> None:
    forget(config, Person(user=USER), "user:test", SilentProgress())
    assert found(config.workspace, {"user": USER, "number": NUMBER}) == set()


def test_a_receipt_that_was_changed_is_refused_and_names_nobody(config: RunConfig) -> None:
    done = forget(config, WHO, "user:test", SilentProgress())
    text = done.path.read_text()
    assert CUSTOMER not in text
    assert NUMBER not in text
    done.path.write_text(text.replace('"rows of annotations": 2', '"rows of annotations": 3'))
    with (
        open_audited(config) as store,
        pytest.raises(AuditError, match="has not signed this"),
    ):
        read_receipt(done.path, store.audit.seal)


def test_who_comes_back_with_a_backup_is_forgotten_again(config: RunConfig) -> None:
    forget(config, WHO, "user:test", SilentProgress())
    assert forget_again(config, "user:test", SilentProgress()) == 0
    with open_audited(config) as store:
        store.live_calls.open("desk", "LIVE-9", {}, CUSTOMER)
        entry = NumberEntry(
            owner=USER, number=NUMBER, standing="allowed", category="", origin="user"
        )
        store.numbers.put(entry, USER, NOW)
        known = {"user": {USER}, "number": {NUMBER}, "voice": set[str]()}
        assert store.forgetting.everybody() == known
    assert forget_again(config, "user:test", SilentProgress()) == 2
    with open_audited(config) as store:
        assert store.customers() == {OTHER}
        assert not any(store.forgetting.everybody().values())
    # A number is one person, however it is written.
    done = forget(config, Person(number="139 1234 5678"), "user:test", SilentProgress())
    with open_audited(config) as store:
        assert done.receipt.person == {"number": store.audit.digest("number", NUMBER)}


def test_without_the_secret_of_the_receipts_nobody_is_taken_for_unforgotten(
    config: RunConfig,
) -> None:
    forget(config, WHO, "user:test", SilentProgress())
    (installation_folder(config) / PERSONS).unlink()
    with pytest.raises(CorpusError, match="put the folder of keys back"):
        forget_again(config, "user:test", SilentProgress())


def test_files_that_nobody_knows_are_named(config: RunConfig) -> None:
    (config.workspace / "exports").mkdir()
    (config.workspace / "exports" / "annotations.csv").write_text(f"clip_id\n{CALLS[0]}\n")
    (config.workspace / "training" / "now").mkdir()
    (config.workspace / "training" / "now" / "weights").write_bytes(b"weights")
    told = forget(config, WHO, "user:test", SilentProgress()).receipt.remains
    places = {one.place for one in told}
    assert places >= {
        "a file of the workspace, exports/*.csv",
        "training under way in the workspace",
    }
    os.utime(config.workspace / "training" / "now" / "weights", (0, 0))
    again = forget(config, WHO, "user:test", SilentProgress()).receipt
    assert again.deleted == {"checkpoints of unfinished training": 1}


def test_what_the_demo_wrote_of_a_caller_goes_and_other_sounds_are_named(config: RunConfig) -> None:
    out = config.workspace
    (out / "demo.json").write_text("{}")
    (out / "recordings").mkdir()
    (out / "exports" / "sounds").mkdir(parents=True)
    for place in ("recordings/s1.ogg", "recordings/s2.ogg", "exports/s1.wav"):
        (out / place).write_bytes(b"voice")
    (out / "exports" / "sounds" / "7.mp3").write_bytes(b"voice")
    (out / "exports" / "list.csv").write_text(f"sounds/7.mp3,{NUMBER}\n")
    (out / "report.html").write_text("<td>s1</td>")
    (out / "report.json").write_text('{"rows": [{"call_id": "s1", "recording": "..."}]}')
    done = forget(config, Person(number=NUMBER), "user:test", SilentProgress())
    assert [path.name for path in (out / "recordings").iterdir()] == ["s2.ogg"]
    assert not (out / "report.html").exists()
    assert not (out / "report.json").exists()
    assert done.receipt.deleted["the demo's page and its sounds"] == 3
    assert {one.place for one in done.receipt.remains} >= {
        "a file of the workspace, exports/*.wav",
        "a file of the workspace, exports/*.csv",
        "sounds that exports/*.csv names",
    }


def test_what_was_said_to_the_robot_finds_files_that_quote_it(config: RunConfig) -> None:
    said, asked = "我是东江银行风控中心的", "您好，我是电话助理。请问您是哪位"
    turns = [{"speaker": "robot", "text": asked}, {"speaker": "caller", "text": said}]
    with open_audited(config) as store:
        call = store.screened_calls.open(USER, "s1", {}, None)
        verdict = StoredVerdict(
            outcome="hung_up", standing="illegal", category="", body={"turns": turns}, notice={}
        )
        store.screened_calls.conclude(call, verdict)
    for name, text in (("caller", said), ("robot", asked)):
        (config.workspace / name).mkdir()
        (config.workspace / name / "notes.txt").write_text(text)
    told = forget(config, Person(user=USER), "user:test", SilentProgress()).receipt.remains
    files = {one.place for one in told if "notes" not in one.place and "/*.txt" in one.place}
    assert files == {"a file of the workspace, caller/*.txt"}


def test_files_of_others_come_and_go_meanwhile_and_need_not_be_text(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("theirs/report.html", "drawn/gone.csv", "training/now/weights"):
        (config.workspace / place).parent.mkdir(parents=True)
        (config.workspace / place).write_bytes(b"\xff\xfe " + CALLS[0].encode())
    (config.workspace / "training" / "now" / "latest").symlink_to("step-7")
    read_text = Path.read_text

    def read(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name == "gone.csv":
            path.unlink()
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", read)
    told = forget(config, WHO, "user:test", SilentProgress()).receipt.remains
    assert not (config.workspace / "theirs" / "report.html").exists()
    assert not [one for one in told if "drawn" in one.place]


def test_every_copy_of_a_bundle_that_learned_is_listed(config: RunConfig) -> None:
    copies = {"bundles/60cda9", "mlruns/71904c/artifacts/bundle"}
    for copy in copies:
        shutil.copytree(config.encoder_dir("text"), config.workspace / copy)
    done = forget(config, WHO, "user:test", SilentProgress())
    assert {one.bundle for one in done.receipt.bundles if one.clips} == {"encoders/text", *copies}
    assert not done.nothing


def test_nobody_known_leaves_nothing_and_unnamed_calls_are_told(config: RunConfig) -> None:
    with open_audited(config) as store:
        store.live_calls.open("desk", "nameless", {})
    done = forget(config, Person(customer="NOBODY"), "user:test", SilentProgress())
    assert done.nothing
    assert "1 live calls without a customer's id" in {one.place for one in done.receipt.remains}


def test_nobody_is_refused(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match="nobody is named"):
        forget(config, Person(), "user:test", SilentProgress())


def test_every_table_that_names_customers_is_known_here() -> None:
    """A table that is added must be forgotten of, too: add it to `Store.forget_customer`."""
    named = {table.name for table in Base.metadata.tables.values() if "customer_id" in table.c}
    assert named == {
        "annotations",
        "split_assignments",
        "call_recognitions",
        "customer_recognitions",
        "live_calls",
        "assist_calls",
    }
