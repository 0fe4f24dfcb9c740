"""Audio in a bucket: what is the file's fault sets a call aside, what is the storage's does not."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from persona_ray.audio.decode import read_audio
from persona_ray.config import RunConfig
from persona_ray.corpus import later
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import CorpusSummary, build_corpus
from persona_ray.errors import (
    ArchiveError,
    ConfigError,
    StorageAwayError,
    TruncatedError,
    UnreadableError,
)
from persona_ray.types import CallStatus, QuarantineReason
from tests.services import S3
from tests.unit.corpus.calls import make_archive, run_config


def no_recogniser(_: object) -> object:
    raise AssertionError("every call has a transcript: the recogniser must not be loaded")


def build(config: RunConfig) -> CorpusSummary:
    return build_corpus(config, build=no_recogniser)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Five calls whose audio lies in the bucket, the last one absent."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("persona_ray.remote._S3FS_TRIES", 1)
    monkeypatch.setattr(later.Patience.__init__, "__defaults__", ((0.01,),))
    made = run_config(tmp_path, make_archive(tmp_path, 5))
    root = Path(made.archive.audio_root)
    s3.upload(root / "audio", "calls/audio")
    shutil.rmtree(root / "audio")
    archive = made.archive.model_copy(update={"audio_root": f"{s3.uri}/calls"})
    return made.model_copy(update={"archive": archive})


def statuses(config: RunConfig) -> dict[str, CallStatus]:
    return {call.call_id: call.status for call in CorpusDataset.open(config.corpus_dir).calls()}


@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 403}, {"cut": True}])
def test_what_the_storage_did_is_tried_again_at_the_next_build(
    config: RunConfig, s3: S3, trouble: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    audio = next(key for key in s3.keys("calls/") if "absent" not in key)
    with s3.front.failing(only=f"/{audio}", **trouble):
        first = build(config)
    known = statuses(config)
    assert first.later == 5 - len(known) > 0
    assert list(known.values()).count(CallStatus.QUARANTINED) == 1
    assert f"{first.later} calls are left for the next run" in caplog.text
    assert build(config).new_calls == first.later
    assert len(statuses(config)) == 5


def test_a_job_ends_where_no_call_can_be_had(config: RunConfig, s3: S3) -> None:
    with (
        s3.front.failing(status=403),
        pytest.raises(ArchiveError, match=r"3 calls one after the other .*mend") as told,
    ):
        build(config)
    assert "\n" not in str(told.value)
    assert build(config).new_calls == 5
    lost = config.archive.model_copy(update={"audio_root": "s3://no-such-bucket/calls"})
    elsewhere = config.model_copy(
        update={"archive": lost, "workspace": config.workspace / "elsewhere"}
    )
    with pytest.raises(ArchiveError, match="no-such-bucket"):
        build(elsewhere)


def test_a_corpus_is_built_from_a_bucket_as_from_a_folder(
    config: RunConfig, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of which it is away for a moment.
    monkeypatch.setattr(later.Patience.__init__, "__defaults__", ((0.5, 0.5, 0.5),))
    s3.front.fail_for(0.8, status=503)
    summary = build(config)
    assert (summary.new_calls, summary.later) == (5, 0)
    calls = list(CorpusDataset.open(config.corpus_dir).calls())
    assert [call.status for call in calls] == [CallStatus.OK] * 4 + [CallStatus.QUARANTINED]
    assert calls[-1].reason is QuarantineReason.UNREADABLE


def test_who_is_at_fault(s3: S3, config: RunConfig) -> None:  # noqa: ARG001
    (key, *_) = s3.keys("calls/")
    uri = f"{s3.uri}/{key}"
    with pytest.raises(UnreadableError) as told:
        read_audio(f"{s3.uri}/calls/none.wav")
    assert not isinstance(told.value, StorageAwayError)
    with pytest.raises(UnreadableError) as told:
        read_audio(f"{s3.uri}/{'x' * 2000}.wav")
    assert not isinstance(told.value, StorageAwayError)
    with s3.front.failing(cut=True), pytest.raises(StorageAwayError) as away:
        read_audio(uri)
    assert away.value.transient
    again = pickle.loads(pickle.dumps(away.value))
    assert (again.detail, again.transient) == (away.value.detail, True)
    with s3.front.failing(status=403), pytest.raises(StorageAwayError) as away:
        read_audio(uri)
    assert not away.value.transient
    # What was uploaded in half is the file's own fault.
    whole = s3.client().get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    s3.client().put_object(Bucket=s3.bucket, Key=key, Body=whole[: len(whole) // 2])
    with pytest.raises(TruncatedError):
        read_audio(uri)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(ConfigError, match=r"pip install 'persona-ray\[s3\]'"):
        read_audio("s3://bucket/call.wav")
