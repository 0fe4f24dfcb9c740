"""/v1/annotation: what annotators do on the page is what an import would have done."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig, load_config
from persona_ray.corpus.annotation.transfer import export_csv, import_annotations
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.annotate import annotate
from persona_ray.store import Annotation, Store, open_store
from persona_ray.types import Recognition
from tests.unit.corpus.folders import encoded, write_corpus
from tests.unit.serving.fakes import FakeService

CLIPS = 12


@pytest.fixture
def corpus(config: RunConfig) -> CorpusDataset:
    return write_corpus(config.corpus_dir, [encoded(number) for number in range(CLIPS)])


@pytest.fixture
def client(
    corpus: CorpusDataset, store: Store, service: FakeService, config: RunConfig
) -> TestClient:
    assert len(corpus) == CLIPS
    return client_of(store, service, config)


def client_of(
    store: Store, service: FakeService, config: RunConfig, name: str = "desk", scope: str = "admin"
) -> TestClient:
    """As a key of all scopes, which may name any annotator."""
    token = store.keys.create(name, [scope]).token
    app = build_app(Services(config, service, store), [annotate])
    # One event loop for all requests, as a server has: work goes on between them.
    return TestClient(app, headers={"authorization": f"Bearer {token}"})


def queue(client: TestClient, annotator: str = "wang", **more: Any) -> Any:
    answer = client.get("/v1/annotation/queue", params={"annotator": annotator, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(client: TestClient, clip: str, label: str, annotator: str = "wang", note: str = "") -> Any:
    body = {"annotator": annotator, "label": label, "note": note}
    return client.put(f"/v1/annotation/clips/{clip}/label", json=body)


def test_what_is_said_leaves_the_queue_and_is_counted(client: TestClient) -> None:
    first = queue(client)
    assert first["left"] == CLIPS
    clip = first["clips"][0]
    assert clip["facts"] == {"age_band": "30-39", "city": "杭州"}
    assert clip["mine"] is None
    assert say(client, clip["clip_id"], "红色").json() == {
        "annotator": "wang",
        "label": "red",
        "note": "",
    }
    then = queue(client)
    assert then["left"] == CLIPS - 1
    assert clip["clip_id"] not in [item["clip_id"] for item in then["clips"]]
    seen = client.get("/v1/annotation", params={"annotator": "wang"}).json()
    assert (seen["mine"], seen["labelled"], seen["by_label"]["red"]) == (1, 1, 1)
    assert queue(client, "li")["left"] == CLIPS, "others hear it too"
    assert queue(client, order="done")["clips"][0]["mine"]["label"] == "red"


def test_it_is_what_an_import_would_have_written(
    client: TestClient, store: Store, corpus: CorpusDataset, config: RunConfig, tmp_path: Path
) -> None:
    items = queue(client)["clips"]
    for item, label in zip(items, ("red", "blue", "uncertain", "green"), strict=False):
        say(client, item["clip_id"], label, note="=gelesen")
    export_csv(tmp_path / "clips.csv", corpus, store, config.annotation)
    with open_store(f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        report = import_annotations(
            other, tmp_path / "clips.csv", corpus.infos(), config.annotation
        )
        assert report.saved.added == 4
        imported = [replace(item, source="") for item in other.annotations.all()]
    written = [replace(item, source="") for item in store.annotations.all()]
    assert sorted(imported, key=str) == sorted(written, key=str)
    assert all(item.span is not None and item.customer_id for item in written)
    # An import of the same file changes nothing but where it came from.
    again = import_annotations(store, tmp_path / "clips.csv", corpus.infos(), config.annotation)
    assert again.saved.added == 0


def test_the_last_word_stands_and_can_be_taken_back(client: TestClient, store: Store) -> None:
    clip = queue(client)["clips"][0]["clip_id"]
    say(client, clip, "red")
    say(client, clip, "blue", note="on second thoughts")
    (item,) = store.annotations.all()
    assert (item.label, item.note) == ("blue", "on second thoughts")
    path = f"/v1/annotation/clips/{clip}/label"
    taken = client.delete(path, params={"annotator": "wang"}).json()
    assert taken == {"withdrawn": True, "mine": None}
    assert list(store.annotations.all()) == []
    again = client.delete(path, params={"annotator": "wang"}).json()
    assert again["withdrawn"] is False
    assert queue(client)["left"] == CLIPS


def test_a_key_labels_under_its_own_name_alone(
    corpus: CorpusDataset, store: Store, service: FakeService, config: RunConfig
) -> None:
    client = client_of(store, service, config, "wang", "annotate")
    clip = next(corpus.infos()).clip_id
    path = f"/v1/annotation/clips/{clip}/label"
    said = client.put(path, json={"label": "red"})
    assert said.json() == {"annotator": "wang", "label": "red", "note": ""}
    assert say(client, clip, "blue", "wang").status_code == 200, "named all the same"
    for answer in (
        say(client, clip, "green", "li"),
        say(client, clip, "green", config.annotation.adjudicator),
        client.delete(path, params={"annotator": "li"}),
        client.get("/v1/annotation", params={"annotator": "li"}),
        client.get("/v1/annotation/queue", params={"annotator": "li", "order": "done"}),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "annotation.annotator"
        assert "'wang'" in answer.json()["error"]["message"]
    assert [(item.annotator, item.label) for item in store.annotations.all()] == [("wang", "blue")]
    assert client.get("/v1/annotation").json()["mine"] == 1
    queued = client.get("/v1/annotation/queue", params={"order": "done"}).json()
    assert [item["clip_id"] for item in queued["clips"]] == [clip]
    assert client.delete(path).json() == {"withdrawn": True, "mine": None}


def test_without_keys_whoever_labels_says_who(
    corpus: CorpusDataset, store: Store, service: FakeService, config: RunConfig
) -> None:
    keys = config.serving.keys.model_copy(update={"required": False})
    serving = config.serving.model_copy(update={"keys": keys})
    app = build_app(
        Services(config.model_copy(update={"serving": serving}), service, store), [annotate]
    )
    client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 4000))
    clip = next(corpus.infos()).clip_id
    assert say(client, clip, "red", "li").json()["annotator"] == "li"
    answer = client.put(f"/v1/annotation/clips/{clip}/label", json={"label": "red"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "annotator")


def test_what_was_imported_for_a_span_stands_behind(
    client: TestClient, store: Store, corpus: CorpusDataset
) -> None:
    info = next(corpus.infos())
    span = {"call_id": info.call_id, "start_s": info.start_s, "end_s": info.end_s}
    store.annotations.save([Annotation(annotator="wang", label="green", **span)])  # type: ignore[arg-type]
    assert queue(client)["left"] == CLIPS - 1
    say(client, info.clip_id, "red")
    assert queue(client, order="done")["clips"][0]["mine"]["label"] == "red"
    path = f"/v1/annotation/clips/{info.clip_id}/label"
    taken = client.delete(path, params={"annotator": "wang"}).json()
    assert taken["withdrawn"] is True
    assert taken["mine"] == {"annotator": "wang", "label": "green", "note": ""}


def test_conflicts_are_shown_with_votes_and_settled_by_the_adjudicator(client: TestClient) -> None:
    clip = queue(client)["clips"][3]["clip_id"]
    say(client, clip, "red", "wang")
    say(client, clip, "blue", "li")
    assert queue(client, "zhao")["clips"][3]["votes"] == {}, "nobody is told beforehand"
    found = queue(client, "adjudicator", order="conflicts")
    assert [item["clip_id"] for item in found["clips"]] == [clip]
    assert found["clips"][0]["votes"] == {"wang": "red", "li": "blue"}
    seen = client.get("/v1/annotation", params={"annotator": "wang"}).json()
    assert (seen["conflicts"], seen["compared_clips"], seen["pairs"][0]["same"]) == (1, 1, 0)
    say(client, clip, "blue", "adjudicator")
    assert queue(client, "adjudicator", order="conflicts")["left"] == 0


def test_the_least_certain_first(corpus: CorpusDataset, store: Store, config: RunConfig) -> None:
    order = [info.clip_id for info in corpus.infos()]
    asked_for = threading.Event()

    class Unsure(FakeService):
        """Sure of the first clip, less of each that follows."""

        async def clips(self, clips: Any) -> Any:
            await asyncio.to_thread(asked_for.wait, 30)
            answered = await super().clips(clips)
            for clip, asked in zip(answered.result, clips, strict=True):
                number = len(asked.samples) - 400
                top = 0.9 - 0.05 * number
                rest = dict.fromkeys(("blue", "yellow", "green"), (1 - top) / 3)
                result = Recognition({"red": top, **rest}, clips=1)
                object.__setattr__(clip, "result", result)
            return answered

    with client_of(store, Unsure(), config) as client:
        answer = queue(client, order="uncertain")
        assert (answer["judging"], answer["judged"]) == (True, 0)
        assert [item["clip_id"] for item in answer["clips"]] == order
        asked_for.set()
        deadline = time.monotonic() + 30
        while answer["judged"] < CLIPS:
            assert time.monotonic() < deadline, answer["judged"]
            time.sleep(0.02)
            answer = queue(client, order="uncertain")
        assert answer["pool"] == CLIPS
        assert [item["clip_id"] for item in answer["clips"]] == order[::-1]
        assert answer["clips"][0]["confidence"] == pytest.approx(0.35)
        say(client, order[-1], "red")
        assert queue(client, order="uncertain")["clips"][0]["clip_id"] == order[-2]


def test_the_sound_is_the_clips(client: TestClient, corpus: CorpusDataset) -> None:
    clip = queue(client)["clips"][5]["clip_id"]
    answer = client.get(f"/v1/annotation/clips/{clip}/audio")
    assert answer.headers["cache-control"] == "no-store"
    samples, rate_hz = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    assert rate_hz == corpus.sample_rate_hz
    np.testing.assert_array_equal(samples, corpus.samples(clip))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/annotation/clips/none/audio", None, 404, "annotation.unknown_clip"),
        ("PUT", "/v1/annotation/clips/none/label", "red", 404, "annotation.unknown_clip"),
        ("DELETE", "/v1/annotation/clips/none/label?annotator=w", None, 404, None),
        ("PUT", "{clip}", "mauve", 422, "annotation.label"),
        ("GET", "/v1/annotation/queue?annotator=%20", None, 422, "request.invalid"),
    ],
)
def test_mistakes_are_told(
    client: TestClient, method: str, path: str, body: str | None, status: int, code: str | None
) -> None:
    clip = queue(client)["clips"][0]["clip_id"]
    address = path.replace("{clip}", f"/v1/annotation/clips/{clip}/label")
    sent = None if body is None else {"annotator": "wang", "label": body}
    answer = client.request(method, address, json=sent)
    assert answer.status_code == status
    assert code in (None, answer.json()["error"]["code"])


def test_without_a_corpus_it_says_how_to_get_one(
    store: Store, service: FakeService, tmp_path: Path
) -> None:
    config = load_config(None, [f"workspace={tmp_path / 'empty'}"])
    answer = client_of(store, service, config).get("/v1/annotation", params={"annotator": "w"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "annotation.no_corpus"


def test_a_corpus_that_was_built_anew_is_seen(
    client: TestClient, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_ray.serving import annotation_desk

    assert queue(client)["left"] == CLIPS
    monkeypatch.setattr(annotation_desk, "_REREAD_S", 0.0)
    monkeypatch.setattr(annotation_desk, "_SHARE", 0.0)
    write_corpus(config.corpus_dir, [encoded(number) for number in range(CLIPS + 3)])
    assert queue(client)["left"] == CLIPS + 3
