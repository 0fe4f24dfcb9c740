"""Label Studio's documented formats, and a folder that it can load."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.label_studio import read_label_studio
from persona_ray.corpus.annotation.label_studio_export import labelling_config, wav_name
from persona_ray.corpus.annotation.transfer import export_label_studio, import_annotations
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation, SaveCounts, Store
from persona_ray.types import Recognition
from tests.unit.annotation.corpus import RATE_HZ, SmallCorpus

CONFIG = AnnotationConfig()
DATA = Path(__file__).parent / "data"
WHEN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_documented_export_is_read(store: Store, corpus: SmallCorpus) -> None:
    report = import_annotations(store, DATA / "export.json", corpus.infos(), CONFIG)
    assert report.saved == SaveCounts(added=3)
    # One skipped by its annotator, one submitted without a choice; drafts and predictions are none.
    assert (report.cancelled, report.blank, report.unmatched) == (1, 1, ())
    found = {(item.annotator, item.call_id, item.start_s): item for item in store.annotations.all()}
    li = found["li@example.com", "call-1", 1.0]
    assert (li.clip_id, li.label, li.note) == ("clip-a", "blue", "asks for proof")
    assert li.created_at == datetime(2021, 3, 9, 22, 16, 8, 728378, tzinfo=UTC)
    assert found["11", "call-1", 1.0].label == "yellow"
    # Li labelled task 2 twice and changed the first one last.
    assert found["li@example.com", "call-1", 5.1].label == "red"
    again = import_annotations(store, DATA / "export.json", corpus.infos(), CONFIG)
    assert again.saved == SaveCounts(unchanged=3)


def test_json_min_is_read() -> None:
    content = read_label_studio(DATA / "export-min.json", CONFIG)
    assert content.problems.messages == []
    assert [
        (item.clip_id, item.annotator, item.label, item.note) for item in content.annotations
    ] == [("clip-a", "10", "blue", "asks for proof"), ("clip-b", "li@example.com", "green", "")]
    assert content.blank == 1


def write(folder: Path, content: Any) -> Path:
    path = folder / "export.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def task(*choices: str, created_at: object = None, **changes: Any) -> dict[str, Any]:
    """One task with one annotation."""
    result = [
        {"from_name": name, "to_name": "audio", "type": "choices", "value": {"choices": [label]}}
        for name, label in (choice.split("=") for choice in choices)
    ]
    annotation = {"id": 5, "completed_by": 1, "result": result, "created_at": created_at}
    return {"id": 9, "data": {"clip_id": "c"}, "annotations": [annotation]} | changes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON: nested too deeply"),
        ("3", "holds no tasks"),
        ([3], "task 1: is no JSON object"),
        ([{"id": 4, "image": "x.jpg"}], "task 4: has neither 'data' and 'annotations'"),
        ([task("colour=purple")], "task 9, annotation 5: label 'purple' is not one of red, blue"),
        ([task("colour=red", "colour=blue")], r"annotation 5: 2 labels \(red, blue\)"),
        ([task("colour=red", created_at=1700000000)], "created_at '1700000000' is no ISO 8601"),
        ([task("a=red", "b=blue")], "task 9: choices were made in a, b: name the one"),
        ([task("colour=red", data={"text": "x"})], "annotation 5: neither clip_id nor call_id"),
        ([task("colour=red", annotations=[3])], "task 9: is not in Label Studio's format"),
        ([task("colour=red", annotations=[{"result": [{"type": "choices"}]}])], "task 9: is not"),
    ],
)
def test_wrong_exports_are_named(tmp_path: Path, store: Store, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(AnnotationError, match=message) as caught:
        import_annotations(store, path, [], CONFIG)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.annotations.count() == 0


def test_a_choice_of_another_name_is_taken_where_it_is_the_only_one(tmp_path: Path) -> None:
    content = read_label_studio(write(tmp_path, task("personality=red")), CONFIG)
    assert [item.label for item in content.annotations] == ["red"]


@pytest.mark.parametrize("meta", ["王芳", ["王芳"]])
def test_an_annotator_is_named_beside_the_choice(tmp_path: Path, meta: object) -> None:
    export = task("colour=red")
    export["annotations"][0]["result"][0]["meta"] = {"annotator": meta}
    content = read_label_studio(write(tmp_path, [export]), CONFIG)
    assert [item.annotator for item in content.annotations] == ["王芳"]


def test_halves_of_emoji_do_not_stop_an_import(tmp_path: Path, store: Store) -> None:
    export = task("colour=red", data={"clip_id": "c\ud83d"})
    export["annotations"][0]["completed_by"] = {"email": "li\ud83d@example.com"}
    report = import_annotations(store, write(tmp_path, [export]), [], CONFIG)
    assert report.saved == SaveCounts(added=1)
    (found,) = store.annotations.all()
    assert (found.clip_id, found.annotator) == ("c?", "li?@example.com")


def recognition(red: float) -> Recognition:
    return Recognition({"red": red, "blue": 1 - red, "yellow": 0.0, "green": 0.0}, clips=1)


def test_the_exported_folder_is_what_label_studio_loads(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    store.annotations.save(
        [
            Annotation(annotator="li@example.com", label="red", clip_id="clip-a", created_at=WHEN),
            Annotation(annotator="王", label="blue", clip_id="clip-a", note="像", created_at=WHEN),
            Annotation(
                annotator="王", label="uncertain", call_id="call-1", start_s=5.2, end_s=8.1,
                created_at=WHEN,
            ),
        ]
    )  # fmt: skip
    predictions = {"clip-b": recognition(0.75)}
    exported = export_label_studio(tmp_path, corpus, store, CONFIG, predictions)
    assert (exported.tasks, exported.annotations, exported.predictions) == (3, 3, 1)

    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    data = [item["data"] for item in tasks]
    assert [item["clip_id"] for item in data] == ["clip-a", "clip-b", "clip/c 三"]
    assert data[0]["fact_sex"] == "female"
    assert (data[1]["call_id"], data[1]["start_s"], data[1]["end_s"]) == ("call-1", 5.0, 8.0)

    # Everything that the labelling configuration shows is in every task (Label Studio checks it).
    view = ElementTree.fromstring((tmp_path / "labelling.xml").read_text(encoding="utf-8"))
    shown = {element.get("value", "")[1:] for element in view if element.get("value")}
    assert {"audio", "text", "facts"} == shown
    assert all(item[key] for item in data for key in shown)
    controls = {element.get("name"): element.tag.lower() for element in view}
    choices = [element.get("value") for element in view.iter("Choice")]
    assert choices == ["red", "blue", "yellow", "green", "uncertain"]
    identities = []
    for item in tasks:
        for block in item["annotations"] + item.get("predictions", []):
            for result in block["result"]:
                assert controls[result["from_name"]] == result["type"]
                assert result["to_name"] in controls
                identities.append(result["id"])
    assert len(set(identities)) == len(identities)
    (prediction,) = tasks[1]["predictions"]
    assert prediction["score"] == 0.75
    assert prediction["result"][0]["value"] == {"choices": ["red"]}

    # Users that Label Studio does not know would make it refuse the file.
    assert tasks[0]["annotations"][0]["completed_by"] == {"email": "li@example.com"}
    assert "completed_by" not in tasks[0]["annotations"][1]

    root = "/data/local-files/?d="
    for item, clip in zip(data, corpus.clips(), strict=True):
        assert item["audio"].startswith(root)
        samples, rate_hz = soundfile.read(tmp_path / unquote(item["audio"].removeprefix(root)))
        assert rate_hz == RATE_HZ
        np.testing.assert_allclose(samples, clip.samples, atol=1e-4)
    assert str(tmp_path) in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_what_is_exported_comes_back_the_same(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    store.annotations.save(
        [
            Annotation(annotator=who, label=label, clip_id=clip, note=note, created_at=WHEN)
            for who, label, clip, note in (
                ("li@example.com", "red", "clip-a", "一\n二"),
                ("王芳", "uncertain", "clip-a", ""),
                ("王芳", "green", "clip/c 三", "听不出来"),
            )
        ]
    )
    export_label_studio(tmp_path, corpus, store, CONFIG)
    report = import_annotations(store, tmp_path / "tasks.json", corpus.infos(), CONFIG)
    assert (report.saved.added, report.unmatched) == (0, ())
    assert {
        (item.annotator, item.label, item.clip_id, item.note, item.created_at)
        for item in store.annotations.all()
    } == {
        ("li@example.com", "red", "clip-a", "一\n二", WHEN),
        ("王芳", "uncertain", "clip-a", "", WHEN),
        ("王芳", "green", "clip/c 三", "听不出来", WHEN),
    }


def test_chosen_clips_and_other_addresses(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    export_label_studio(
        tmp_path, corpus, store, CONFIG, clip_ids={"clip-b"}, audio_prefix="https://x/audio/"
    )
    (only,) = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert only["data"]["audio"] == "https://x/audio/clip-b.wav"
    export_label_studio(tmp_path, corpus, store, CONFIG, clip_ids=())
    assert json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8")) == []


def test_other_labels_make_another_labelling_configuration() -> None:
    config = AnnotationConfig(labels=("calm & slow", "愤怒"), uncertain="?")
    view = ElementTree.fromstring(labelling_config(config))
    assert [item.get("value") for item in view.iter("Choice")] == ["calm & slow", "愤怒", "?"]


def test_names_of_wav_files_are_safe_and_differ() -> None:
    ids = ["a", "a/b", "a b", "a-b", "../a", ".a", "三", "四", "a" * 300, "a" * 299, "CON?"]
    names = [wav_name(clip_id) for clip_id in ids]
    assert len(set(names)) == len(ids)
    assert all(Path(name).name == name and len(name) < 120 for name in names)
