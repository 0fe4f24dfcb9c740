"""The whole archive on a Ray cluster: equal to the plain job and to the service, and killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from persona_ray.config import RunConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.errors import EngineUnavailableError
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.types import CallRecord, CallStatus, Recognition
from tests.cluster.killing import kill_after, on_ray, wait_until_still
from tests.unit.corpus.folders import digests
from tests.unit.launch.recognised import (
    call_id,
    configured,
    make_bundle,
    make_calls,
    recognise,
    rows,
    shares,
)

CALLS = 40
JOB = """
import sys
from pathlib import Path
from persona_ray.config import load_config
from persona_ray.launch.archive.job import recognize_archive
from persona_ray.progress import SilentProgress

recognize_archive(load_config(Path(sys.argv[1])), SilentProgress())
"""
# Recordings of the shipped archive, each half a minute or less.
SHIPPED = ("K00002", "K00027", "K00041")
# Other batches and threads than the job's: see tests/unit/launch/test_recognize_archive_skew.py.
TOLERANCE = 1e-5


def poisoned(bundle: Path, config: RunConfig) -> PersonalityRecognizer:
    """Its process dies on one call, as a crash in a native library would have it."""
    recognizer = PersonalityRecognizer.load(bundle, config, device="cpu")
    hear = recognizer.hearing.call

    def call(record: CallRecord) -> Any:
        if record.call_id == call_id(3):
            os.kill(os.getpid(), signal.SIGKILL)
        return hear(record)

    recognizer.hearing.call = call  # type: ignore[method-assign]
    return recognizer


def without_engine(bundle: Path, config: RunConfig) -> PersonalityRecognizer:
    raise EngineUnavailableError(f"no weights for {bundle.name} in {config.workspace.name}")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, str]]:
    """(folder, URL of its archive, files that an undisturbed plain job makes)."""
    folder = tmp_path_factory.mktemp("archive")
    url = make_calls(folder, calls=CALLS)
    found = recognise(configured(folder, url, name="plain"))
    return folder, url, digests(found.folder)


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
class TestOnRay:
    def test_it_equals_the_plain_job(self, plain: tuple[Path, str, dict[str, str]]) -> None:
        folder, url, expected = plain
        config = on_ray(configured(folder, url, name="ray"))
        found = recognise(config)
        assert found.run.new_calls == CALLS
        assert digests(found.folder) == expected
        assert recognise(config).run.new_calls == 0

    @pytest.mark.drill
    def test_a_call_that_kills_workers_is_set_aside(self, tmp_path: Path) -> None:
        config = on_ray(configured(tmp_path, make_calls(tmp_path)))
        calls = rows(recognise(config, load=poisoned), "calls")
        (aside,) = [row for row in calls if row["reason"] == "failed"]
        assert aside["call_id"] == call_id(3)
        assert aside["detail"].startswith("3 workers died on this call")
        assert len(calls) == 12

    def test_what_concerns_every_call_ends_the_job_as_itself(self, tmp_path: Path) -> None:
        config = on_ray(configured(tmp_path, make_calls(tmp_path)))
        with pytest.raises(EngineUnavailableError, match=r"^no weights for bundle in run$"):
            recognise(config, load=without_engine)

    @pytest.mark.drill
    def test_kill_9_and_rerun_give_the_same_bytes(
        self, plain: tuple[Path, str, dict[str, str]], ray_cluster: str
    ) -> None:
        folder, url, expected = plain
        config = on_ray(configured(folder, url, name="killed", launch={"address": ray_cluster}))
        assert kill_after(8, partial(staged, config), JOB, config)
        done = wait_until_still(partial(staged, config))
        assert 8 <= done < CALLS
        resumed = recognise(config)
        assert resumed.run.new_calls == CALLS - done
        assert digests(resumed.folder) == expected


@pytest.mark.cluster
class TestService:
    @pytest.fixture
    def serve(self, ray_cluster: str) -> Iterator[Any]:
        """Serve without a proxy: it is asked through handles."""
        del ray_cluster
        from ray import serve

        serve.start(proxy_location="Disabled")
        yield serve
        serve.shutdown()

    def test_its_colours_are_the_jobs(self, serve: Any, tmp_path: Path, repository: Path) -> None:
        from persona_ray.apps.bundles import choose_bundle
        from persona_ray.apps.personality import build_for
        from persona_ray.serving.deploy.deployed import DeployedService, Handles
        from persona_ray.serving.service import Recording

        root = repository / "demo" / "archive"
        names = ", ".join(f"'{name}'" for name in SHIPPED)
        config = configured(
            tmp_path,
            f"sqlite:///{root / 'business.sqlite'}",
            archive={
                "query": f"SELECT * FROM calls WHERE call_id IN ({names})",
                "audio_root": str(root),
            },
            asr={"reuse_transcripts": False},
            tracking={"url": "off"},
            serving={"bundle": str(make_bundle(tmp_path / "run" / "bundle"))},
        )
        found = recognise(on_ray(config))
        serve.run(build_for(config, choose_bundle(config)), name="skew", route_prefix=None)
        there = serve.status().applications["skew"].deployments
        handles = {
            name: serve.get_deployment_handle(name, "skew")
            for name in ("whole", "fused", "speech", "text", "classifier")
            if name in there
        }
        asr = handles.get("whole") or serve.get_deployment_handle("asr", "skew")
        service = DeployedService(Handles(asr, **handles))
        archive = CallArchive(config.archive)
        sentences = rows(found, "sentences")
        for row in rows(found, "calls"):
            assert row["status"] == CallStatus.OK
            record = archive.get(row["call_id"])
            assert isinstance(record, CallRecord)
            recording = Recording(
                record.call_id, record.customer_channel, uri=str(root / record.audio_uri)
            )
            answer = asyncio.run(service.call(recording)).result
            assert isinstance(answer.result, Recognition)
            assert dict(answer.result.probabilities) == pytest.approx(shares(row), abs=TOLERANCE)
            mine = [part for part in sentences if part["call_id"] == row["call_id"]]
            assert len(mine) == len(answer.sentences) > 0
            for part, sentence in zip(mine, answer.sentences, strict=True):
                assert part["start_s"] == pytest.approx(sentence.start_s, abs=1e-3)
                assert isinstance(sentence.result, Recognition)
                assert dict(sentence.result.probabilities) == pytest.approx(
                    shares(part), abs=TOLERANCE
                )


@pytest.mark.drill
def test_killed_again_and_again(plain: tuple[Path, str, dict[str, str]]) -> None:
    """Each run is killed after a few more calls, the last one while results are written."""
    folder, url, expected = plain
    config = configured(folder, url, name="again")
    for committed in (3, 17, CALLS):
        kill_after(committed, partial(staged, config), JOB, config)
    assert digests(recognise(config).folder) == expected


def staged(config: RunConfig) -> int:
    return sum(1 for _ in config.recognitions_dir.glob("*/staging/*/*/*.parquet"))
