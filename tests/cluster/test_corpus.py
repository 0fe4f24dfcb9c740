"""The corpus job on a real Ray cluster: equal to the plain job, and killed without mercy."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig
from persona_ray.config.corpus import AsrConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.errors import EngineUnavailableError, QueryError
from persona_ray.types import CallStatus, QuarantineReason, Transcript, Word
from tests.cluster.killing import kill_after, on_ray, wait_until_still
from tests.unit.corpus.business import call_row, fill
from tests.unit.corpus.calls import SENTENCES, make_archive, run_config, words_at
from tests.unit.corpus.folders import digests

CALLS = 40
BUILD = """
import sys
from pathlib import Path
from persona_ray.config import load_config
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.launch.cluster import connect

config = load_config(Path(sys.argv[1]))
build_corpus(config, cluster=connect(config.launch))
"""


class Engine:
    """A recogniser for calls without transcripts; loaded in the workers of the cluster."""

    name = "engine"

    def __init__(self, config: AsrConfig) -> None:
        if config.model == "absent":
            raise EngineUnavailableError("no weights of 'absent': install them")
        self._model = config.model

    def transcribe(self, _: object, __: int, speech: Sequence[Span]) -> Transcript:
        # The poisoned call is the only one with a single stretch of speech.
        if self._model == "poison" and len(speech) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        words = [word for span in speech for word in words_at(SENTENCES[0], span.start_s, 1.8)]
        return Transcript(tuple(Word(*word) for word in words), self.name)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, str]]:
    """(folder, URL of its archive, files that an undisturbed plain build makes)."""
    folder = tmp_path_factory.mktemp("archive")
    url = make_archive(folder, CALLS)
    config = run_config(folder, url, name="plain")
    build_corpus(config)
    return folder, url, digests(config.corpus_dir)


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
class TestOnRay:
    def test_it_equals_the_plain_job(self, plain: tuple[Path, str, dict[str, str]]) -> None:
        folder, url, expected = plain
        config = on_ray(run_config(folder, url, name="ray"))
        summary = build_corpus(config)
        assert (summary.new_calls, summary.recognised) == (CALLS, 0)
        assert digests(config.corpus_dir) == expected
        assert build_corpus(config).new_calls == 0

    def test_more_workers_than_the_cluster_has_room_for(
        self, plain: tuple[Path, str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They must not crowd out the task that reads the archive."""
        from persona_ray.corpus import pipeline_ray

        # Two of them would take all eight processors.
        monkeypatch.setattr(pipeline_ray, "_WORKER_CPUS", 4.0)
        folder, url, expected = plain
        crowd = run_config(folder, url, name="crowd")
        build_corpus(on_ray(crowd))
        assert digests(crowd.corpus_dir) == expected

    def test_calls_without_transcripts_go_through_the_recogniser(self, tmp_path: Path) -> None:
        make_archive(tmp_path, 1)
        url = f"sqlite:///{tmp_path / 'other.sqlite'}"
        fill(url, [call_row(f"c{n}", audio_uri="audio/0.wav") for n in range(6)])
        config = on_ray(run_config(tmp_path, url))
        summary = build_corpus(config, build=Engine)
        assert (summary.new_calls, summary.recognised) == (6, 6)
        assert summary.count("clips") == 12

    @pytest.mark.drill
    def test_a_call_that_kills_workers_is_set_aside(self, tmp_path: Path) -> None:
        from tests.unit.corpus.calls import track, write_call

        make_archive(tmp_path, 1)
        write_call(tmp_path / "audio" / "poison.wav", track([1.0], 4.0))
        url = f"sqlite:///{tmp_path / 'other.sqlite'}"
        sound = [call_row(f"c{n}", audio_uri="audio/0.wav") for n in range(6)]
        fill(url, [*sound, call_row("c3-poison", audio_uri="audio/poison.wav")])
        config = on_ray(run_config(tmp_path, url, asr={"model": "poison"}))
        build_corpus(config, build=Engine)
        calls = {call.call_id: call for call in CorpusDataset.open(config.corpus_dir).calls()}
        poison = calls.pop("c3-poison")
        assert poison.reason is QuarantineReason.FAILED
        assert poison.detail.startswith("3 workers died on this call")
        assert {call.status for call in calls.values()} == {CallStatus.OK}
        assert len(calls) == 6

    def test_what_concerns_every_call_ends_the_job_as_itself(self, tmp_path: Path) -> None:
        make_archive(tmp_path, 1)
        url = f"sqlite:///{tmp_path / 'other.sqlite'}"
        fill(url, [call_row("c1", audio_uri="audio/0.wav")])
        config = on_ray(run_config(tmp_path, url, asr={"model": "absent"}))
        with pytest.raises(EngineUnavailableError, match=r"^no weights of 'absent': install them$"):
            build_corpus(config, build=Engine)

    def test_a_database_that_fails_in_the_reader_ends_the_job_as_itself(
        self, tmp_path: Path
    ) -> None:
        # The second page has a number that is none; SQLite notices when it gets there.
        url = make_archive(tmp_path, 8)
        fill(url, [call_row("call-9")])
        query = (
            "SELECT *, CASE WHEN call_id = 'call-9' THEN json(audio_uri) END AS fact_x FROM calls"
        )
        config = on_ray(run_config(tmp_path, url, archive={"query": query}))
        with pytest.raises(QueryError, match="malformed JSON"):
            build_corpus(config)

    def test_kill_9_and_rerun_give_the_same_bytes(
        self, plain: tuple[Path, str, dict[str, str]], ray_cluster: str
    ) -> None:
        folder, url, expected = plain
        config = on_ray(run_config(folder, url, name="killed", launch={"address": ray_cluster}))
        assert kill_after(8, partial(staged, config), BUILD, config)
        done = wait_until_still(partial(staged, config))
        assert 8 <= done < CALLS
        assert build_corpus(config).new_calls == CALLS - done
        assert digests(config.corpus_dir) == expected


@pytest.mark.drill
def test_killed_again_and_again(plain: tuple[Path, str, dict[str, str]]) -> None:
    """Each run is killed after a few more calls, the last ones while shards are written."""
    folder, url, expected = plain
    config = run_config(folder, url, name="again")
    for committed in (1, 12, 27, CALLS):
        kill_after(committed, partial(staged, config), BUILD, config)
    build_corpus(config)
    assert digests(config.corpus_dir) == expected


def staged(config: RunConfig) -> int:
    return sum(1 for _ in config.corpus_dir.glob("staging/*/*/*.parquet"))
