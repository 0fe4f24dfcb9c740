"""The archive against real SQLite and PostgreSQL databases."""

from __future__ import annotations

import json
import pickle
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from persona_ray.config.corpus import ArchiveConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.records import BadRow
from persona_ray.errors import ArchiveError, ConfigError, MissingColumnError, QueryError
from persona_ray.types import CallRecord, QuarantineReason, Word
from tests.unit.corpus.business import call_row, fill, words_json

WORDS = [("我想", 1.0, 1.4), ("问一下", 1.4, 2.0)]


def walk(archive: CallArchive) -> list[CallRecord | BadRow]:
    return [call for page in archive.pages() for call in archive.read(page)]


def records(archive: CallArchive) -> dict[str, CallRecord]:
    calls = walk(archive)
    assert all(isinstance(call, CallRecord) for call in calls)
    return {call.call_id: call for call in calls if isinstance(call, CallRecord)}


def bad(archive: CallArchive) -> dict[str, BadRow]:
    return {call.call_id: call for call in walk(archive) if isinstance(call, BadRow)}


def test_a_row_becomes_a_record(business_url: str) -> None:
    fill(
        business_url,
        [call_row("c1", duration_s=31.5), call_row("c2")],
        [("c1", 0, "[]"), ("c1", 1, words_json(WORDS))],
    )
    found = records(CallArchive(ArchiveConfig(url=business_url)))
    call = found["c1"]
    assert (call.customer_id, call.audio_uri) == ("customer-1", "audio/c1.wav")
    assert (call.customer_channel, call.channels, call.duration_s) == (1, 2, 31.5)
    assert call.scene == "fund"
    # A fact that the database does not have is not there.
    assert "product_held" not in call.facts
    assert (call.facts["city"], call.facts["complaint_count"]) == ("杭州", "2")
    assert call.transcripts[1].words == tuple(Word(*word) for word in WORDS)
    assert (call.transcripts[1].source, call.transcripts[1].channel) == ("archive", 1)
    assert call.transcripts[0].words == ()
    assert found["c2"].transcripts == {}


@pytest.mark.parametrize("page_size", [1, 3, 7, 100])
def test_pages_cover_every_call_once_in_order(business_url: str, page_size: int) -> None:
    ids = [f"call-{number:02d}" for number in range(7)]
    fill(business_url, [call_row(i) for i in reversed(ids)], [(i, 1, "[]") for i in ids * 2])
    archive = CallArchive(ArchiveConfig(url=business_url, page_size=page_size))
    pages = list(archive.pages())
    assert [page.calls for page in pages[:-1]] == [page_size] * (len(pages) - 1)
    assert sum(page.calls for page in pages) == archive.check() == 7
    assert [call.call_id for page in pages for call in archive.read(page)] == ids


def test_pages_go_on_where_calls_come_and_go(business_url: str) -> None:
    """An offset would skip calls when earlier ones vanish."""
    fill(business_url, [call_row(f"call-{number}") for number in range(6)])
    archive = CallArchive(ArchiveConfig(url=business_url, page_size=2))
    pages = archive.pages()
    next(pages)
    with create_engine(business_url.replace("sql:", "sql+psycopg:")).begin() as connection:
        connection.execute(text("DELETE FROM calls WHERE call_id <= 'call-1'"))
    assert [page.first for page in pages] == ["call-2", "call-4"]


def test_numbers_serve_as_call_ids(business_url: str) -> None:
    fill(business_url, [call_row(str(number)) for number in (2, 10, 1)])
    query = (
        "SELECT CAST(call_id AS INTEGER) AS CALL_ID, customer_id AS Customer_ID, audio_uri, "
        "customer_channel FROM calls;\n"
    )
    archive = CallArchive(ArchiveConfig(url=business_url, query=query, page_size=2))
    assert [call.call_id for call in walk(archive)] == ["1", "2", "10"]
    assert archive.get("10").audio_uri == "audio/10.wav"


def test_a_query_may_hold_colons_and_percents(business_url: str) -> None:
    fill(business_url, [call_row("c1"), call_row("c:x")])
    query = (
        "WITH c AS (SELECT * FROM calls WHERE call_id LIKE 'c:%' AND scene <> ':scene') "
        "SELECT call_id, customer_id, audio_uri, customer_channel FROM c ORDER BY scene"
    )
    assert list(records(CallArchive(ArchiveConfig(url=business_url, query=query)))) == ["c:x"]


def test_one_call_by_its_id(business_url: str) -> None:
    fill(business_url, [call_row("c1"), call_row("c2", customer_channel="x")])
    archive = CallArchive(ArchiveConfig(url=business_url))
    assert isinstance(archive.get("c1"), CallRecord)
    assert isinstance(archive.get("c2"), BadRow)
    with pytest.raises(ArchiveError, match="has no call 'c3'"):
        archive.get("c3")


def test_rows_of_one_call_are_one_call(business_url: str) -> None:
    fill(
        business_url,
        [
            *[call_row("twice")] * 2,
            call_row("torn", audio_uri="a.wav"),
            call_row("torn", audio_uri="b.wav"),
        ],
        [("twice", 1, words_json(WORDS))],
    )
    archive = CallArchive(ArchiveConfig(url=business_url))
    calls = {call.call_id: call for call in walk(archive)}
    assert len(walk(archive)) == 2
    twice, torn = calls["twice"], calls["torn"]
    assert isinstance(twice, CallRecord)
    assert twice.transcripts[1].words
    assert isinstance(torn, BadRow)
    assert torn.detail == "call_id stands for several calls: audio_uri is 'a.wav' and 'b.wav'"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"audio_uri": None}, "audio_uri is null"),
        ({"audio_uri": "  "}, "audio_uri is null"),
        ({"customer_id": None}, "customer_id is null"),
        ({"customer_channel": None}, "customer_channel = None"),
        ({"customer_channel": "left"}, "customer_channel = 'left'"),
        ({"customer_channel": "-1"}, "customer_channel = -1"),
        ({"customer_channel": "1.5"}, "customer_channel = '1.5'"),
        ({"customer_channel": "nan"}, "customer_channel = 'nan'"),
        ({"customer_channel": "2"}, "must be 0 to 1, as the call has 2 channel"),
        ({"channels": 0}, "channels = 0"),
        ({"duration_s": -3.0}, "duration_s = -3.0"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(
    business_url: str, changes: dict[str, object], detail: str
) -> None:
    fill(business_url, [call_row("sound"), call_row("bad", **changes)])
    query = "SELECT * FROM calls"
    archive = CallArchive(ArchiveConfig(url=business_url, query=query))
    found = bad(archive)
    assert list(found) == ["bad"]
    assert found["bad"].reason is QuarantineReason.BAD_ROW
    assert detail in found["bad"].detail
    assert len(walk(archive)) == 2


def test_rows_without_call_id_are_kept_apart(business_url: str) -> None:
    fill(
        business_url,
        [call_row("c1"), call_row(None), call_row(None, audio_uri="b.wav"), call_row("")],
    )
    query = "SELECT * FROM calls"
    first = bad(CallArchive(ArchiveConfig(url=business_url, query=query)))
    assert len(first) == 3
    assert all(key.startswith("row:") for key in first)
    assert {row.detail for row in first.values()} == {"call_id is null or empty"}
    # The made-up id is the same in the next run, or the row would be set aside anew each time.
    assert first == bad(CallArchive(ArchiveConfig(url=business_url, query=query)))


@pytest.mark.parametrize(
    ("channel", "words", "detail"),
    [
        (1, "{", "no JSON"),
        (1, '{"text": "a"}', "a list of words is needed, not dict"),
        (1, "[1]", "word 0 is int"),
        (1, '[{"start_s": 0, "end_s": 1}]', "word 0 has no text"),
        (1, '[{"text": "a", "end_s": 1}]', "word 0 has no start_s"),
        (1, '[{"text": "a", "start_s": "0", "end_s": 1}]', "word 0 has no start_s"),
        (1, '[{"text": "a", "start_s": true, "end_s": 1}]', "word 0 has no start_s"),
        (1, '[{"text": "a", "start_s": NaN, "end_s": 1}]', "start_s = nan"),
        (1, '[{"text": "a", "start_s": -1, "end_s": 1}]', "start_s = -1"),
        (1, f'[{{"text": "a", "start_s": 1{"0" * 400}, "end_s": 1}}]', "start_s = 1000"),
        (1, "[" * 100_000, "nested too deeply"),
        (1, '[{"text": "a", "start_s": 2, "end_s": 1}]', "ends at 1 s, before it starts"),
        (None, "[]", "transcript_channel = None"),
        (7, "[]", "transcript_channel = 7"),
    ],
)
def test_a_broken_transcript_is_set_aside_unless_it_is_not_wanted(
    business_url: str, channel: int | None, words: str, detail: str
) -> None:
    fill(business_url, [call_row("c1"), call_row("c2")], [("c1", channel, words)])
    config = ArchiveConfig(url=business_url)
    found = bad(CallArchive(config))
    assert list(found) == ["c1"]
    assert found["c1"].reason is QuarantineReason.BAD_TRANSCRIPT
    assert detail in found["c1"].detail
    assert list(records(CallArchive(config, transcripts=False))) == ["c1", "c2"]


def test_two_transcripts_of_one_channel_must_agree(business_url: str) -> None:
    fill(
        business_url,
        [call_row("same"), call_row("differ")],
        [
            *[("same", 1, words_json(WORDS))] * 2,
            ("differ", 1, words_json(WORDS)),
            ("differ", 1, words_json(WORDS[:1])),
        ],
    )
    found = bad(CallArchive(ArchiveConfig(url=business_url)))
    assert {key: row.detail for key, row in found.items()} == {
        "differ": "two different transcripts of channel 1"
    }


def test_words_are_put_in_order_of_time(business_url: str) -> None:
    fill(business_url, [call_row("c1")], [("c1", 1, words_json(WORDS[::-1]))])
    call = records(CallArchive(ArchiveConfig(url=business_url)))["c1"]
    assert call.transcripts[1].text == "我想问一下"


def test_a_json_column_is_a_list_already(postgres_url: str) -> None:
    fill(postgres_url, [call_row("c1")], [("c1", 1, words_json(WORDS))])
    query = (
        "SELECT c.*, t.channel AS transcript_channel, t.words::jsonb AS transcript_words "
        "FROM calls c JOIN transcripts t USING (call_id)"
    )
    call = records(CallArchive(ArchiveConfig(url=postgres_url, query=query)))["c1"]
    assert call.transcripts[1].text == "我想问一下"


def test_an_empty_database_has_no_pages(business_url: str) -> None:
    fill(business_url, [])
    archive = CallArchive(ArchiveConfig(url=business_url))
    assert archive.check() == 0
    assert list(archive.pages()) == []


def test_a_missing_column_is_named_with_those_present(business_url: str) -> None:
    fill(business_url, [call_row("c1")])
    query = "SELECT call_id AS id, customer_id, customer_channel FROM calls"
    archive = CallArchive(ArchiveConfig(url=business_url, query=query))
    with pytest.raises(MissingColumnError) as caught:
        archive.check()
    assert str(caught.value) == (
        "archive.query gives no column call_id, audio_uri; it gives "
        "id, customer_id, customer_channel: name the columns with AS"
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM telephone_calls", "telephone_calls"),
        ("SELEC 1", "syntax"),
        ("DELETE FROM calls", "syntax"),
    ],
)
def test_a_failing_query_is_one_line(business_url: str, query: str, said: str) -> None:
    fill(business_url, [call_row("c1")])
    archive = CallArchive(ArchiveConfig(url=business_url, query=query))
    with pytest.raises(QueryError, match=said) as caught:
        list(archive.pages())
    assert "\n" not in str(caught.value)
    assert "w:ord" not in str(caught.value)
    assert "w%3Aord" not in str(caught.value)


def test_no_database_is_made_where_none_is(tmp_path: Path) -> None:
    path = tmp_path / "absent.sqlite"
    with pytest.raises(ArchiveError, match=r"absent\.sqlite does not exist: set archive\.url"):
        CallArchive(ArchiveConfig(url=f"sqlite:///{path}")).check()
    assert not path.exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_text("these are notes" * 100)
    with pytest.raises(ArchiveError, match="file is not a database"):
        CallArchive(ArchiveConfig(url=f"sqlite:///{path}")).check()


def test_the_archive_is_never_written_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'business.sqlite'}"
    fill(url, [call_row("c1")])
    archive = CallArchive(ArchiveConfig(url=url))
    with (
        archive._database.connect() as connection,
        pytest.raises(Exception, match="readonly"),
    ):
        connection.exec_driver_sql("DELETE FROM calls")
    with sqlite3.connect(tmp_path / "business.sqlite") as direct:
        assert direct.execute("SELECT count(*) FROM calls").fetchone() == (1,)


def test_a_password_comes_from_the_environment_and_is_never_shown(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres_url, [call_row("c1")])
    template = postgres_url.replace("p%40ss%2Fw%3Aord", "${PERSONA_TEST_PASSWORD}")
    assert template != postgres_url
    config = ArchiveConfig(url=template)
    monkeypatch.delenv("PERSONA_TEST_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="PERSONA_TEST_PASSWORD"):
        CallArchive(config)
    monkeypatch.setenv("PERSONA_TEST_PASSWORD", "p@ss/w:ord")
    archive = CallArchive(config)
    assert archive.check() == 1
    # Another machine may not have the variable: the opened archive takes it along.
    monkeypatch.delenv("PERSONA_TEST_PASSWORD")
    assert pickle.loads(pickle.dumps(archive)).check() == 1
    monkeypatch.setenv("PERSONA_TEST_PASSWORD", "wrong-secret")
    with pytest.raises(ArchiveError) as caught:
        CallArchive(config).check()
    assert "password authentication failed" in str(caught.value)
    assert "wrong-secret" not in str(caught.value)
    assert "wrong-secret" not in repr(CallArchive(config)._database)


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", ArchiveError, "cannot read the business database"),
        (
            "cobol://me:secret@host/x",
            ConfigError,
            "archive.url: no driver is installed for 'cobol'",
        ),
        ("mysql+pymysql://me:secret@host/x", ConfigError, "no driver is installed"),
        ("me:secret@host", ConfigError, "archive.url is no database URL"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        CallArchive(ArchiveConfig(url=url)).check()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_are_made_of_plain_values(business_url: str) -> None:
    """They travel between processes and are compared between runs."""
    fill(business_url, [call_row("c1")], [("c1", 1, words_json(WORDS))])
    call = records(CallArchive(ArchiveConfig(url=business_url)))["c1"]
    assert pickle.loads(pickle.dumps(call)) == call
    assert json.dumps(dict(call.facts))
