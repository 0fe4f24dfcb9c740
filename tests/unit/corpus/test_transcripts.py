"""Recognised words in a database: read back by the archive, and never shown in a message."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from persona_ray.config.corpus import ArchiveConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.records import CallOutcome
from persona_ray.corpus.transcripts import write_transcripts
from persona_ray.errors import ArchiveError
from persona_ray.store import expand_url
from persona_ray.types import CallRecord, CallStatus, Transcript, Word
from tests.unit.corpus.business import call_row, fill

SAID = "我的卡号是六二二八"


def outcome(call_id: str, *texts: str, channel: int = 1) -> CallOutcome:
    return CallOutcome(
        call_id=call_id,
        customer_id="customer-1",
        audio_uri="a.wav",
        status=CallStatus.OK,
        channel=channel,
        transcript_source="whisper-base",
        words=tuple(Word(said, number, number + 0.5) for number, said in enumerate(texts)),
    )


def transcripts(url: str, call_id: str) -> dict[int, str]:
    call = CallArchive(ArchiveConfig(url=url)).get(call_id)
    assert isinstance(call, CallRecord)
    for channel, transcript in call.transcripts.items():
        assert transcript == Transcript(transcript.words, "archive", channel)
    return {channel: transcript.text for channel, transcript in call.transcripts.items()}


def test_the_archive_reads_what_was_written_last(business_url: str) -> None:
    fill(business_url, [call_row("c1"), call_row("c2")], [("c1", 0, "[]")])
    calls = [outcome("c1", "你好", "再见"), outcome("c2")]
    assert write_transcripts(business_url, calls) == 1
    assert transcripts(business_url, "c1") == {0: "", 1: "你好再见"}
    assert transcripts(business_url, "c2") == {}
    again = [outcome("c1", "您好"), outcome("c1", "请讲", channel=0)]
    assert write_transcripts(business_url, iter(again)) == 2
    assert transcripts(business_url, "c1") == {0: "请讲", 1: "您好"}


def test_a_table_is_made_where_there_is_none(business_url: str) -> None:
    assert write_transcripts(business_url, [outcome("c1", "你好")]) == 1
    engine = create_engine(expand_url(business_url))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT call_id, channel FROM transcripts")).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("c1", 1)]


def test_a_table_that_refuses_is_named_and_nobody_is_quoted(business_url: str) -> None:
    engine = create_engine(expand_url(business_url))
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE transcripts "
                "(call_id TEXT, channel INTEGER, words TEXT, checked_by TEXT NOT NULL)"
            )
        )
    with pytest.raises(ArchiveError, match=r"cannot be written to .*checked_by") as caught:
        write_transcripts(business_url, [outcome("c1", SAID)])
    assert SAID not in str(caught.value)
    assert "INSERT" not in str(caught.value)
    assert "w:ord" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM transcripts")).scalar() == 0
    engine.dispose()
