"""CSV in and out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.csv_format import read_csv, write_csv
from persona_ray.corpus.annotation.transfer import export_csv, import_annotations
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation, SaveCounts, Store
from tests.unit.annotation.corpus import SmallCorpus, info

CONFIG = AnnotationConfig()
HEADER = "call_id,start_s,end_s,annotator,label,note\n"


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_labels_by_time_reach_the_overlapping_clip(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    path = write(
        tmp_path,
        HEADER
        + "call-1,1.2,4.1,wang,red,\n"  # clip-a by 2.8 s of 3.1 s
        + "call-1,3.0,5.5,wang,blue,between the clips\n"
        + "call-9,0,2,wang,red,no such call\n",
    )
    report = import_annotations(store, path, corpus.infos(), CONFIG)
    assert report.saved == SaveCounts(added=3)
    assert sorted(item.note for item in report.unmatched) == ["between the clips", "no such call"]
    stored = {item.note: item for item in store.annotations.all()}
    assert len(stored) == 3
    assert stored[""].customer_id == "customer of call-1"
    again = import_annotations(store, path, corpus.infos(), CONFIG)
    assert again.saved == SaveCounts(unchanged=3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(tmp_path: Path, encoding: str, separator: str) -> None:
    lines = [
        "Clip_ID,annotator,LABEL,note,extra",
        '王-1, 王芳 ,Red,"听不出来",x',
        "王-2,李,绿色",
        ",,,,",
    ]
    text = "\r\n".join(line.replace(",", separator) for line in lines)
    content = read_csv(write(tmp_path, text, encoding), CONFIG)
    assert content.problems.messages == []
    first, second = content.annotations
    assert (first.clip_id, first.annotator, first.label) == ("王-1", "王芳", "red")
    assert first.note == "听不出来"
    assert (second.clip_id, second.annotator, second.label) == ("王-2", "李", "green")


def test_all_errors_are_named_and_nothing_is_imported(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    rows = [
        "call-1,1,4,wang,purple,",
        "call-1,1,4,,red,",
        "call-1,4,1,wang,red,",
        "call-1,one,2,wang,red,",
        ",1,2,wang,red,",
        "call-1,nan,2,wang,red,",
        "call-1,5,8,wang,red,two,cells",
        "call-1,5,8,li,red,fine",
        "call-1,5,8,li,blue,says two things",
    ]
    path = write(tmp_path, HEADER + "\n".join(rows))
    with pytest.raises(AnnotationError) as caught:
        import_annotations(store, path, corpus.infos(), CONFIG)
    message = str(caught.value)
    assert "\n" not in message
    for expected in (
        "labels.csv",
        "row 2: label 'purple' is not one of red, blue, yellow, green, uncertain",
        "row 3: no annotator",
        "row 4: start_s 4 and end_s 1",
        "row 5: start_s 'one' is no number",
        "row 6: neither clip_id nor call_id",
        "row 7: start_s 'nan'",
        "row 8: there are more cells than columns",
        "row 10: annotator 'li' says 'blue' of what row 9 calls 'red'",
        "8 errors, nothing is imported",
    ):
        assert expected in message
    assert store.annotations.count() == 0
    report = import_annotations(store, path, corpus.infos(), CONFIG, skip_errors=True)
    assert len(report.skipped) == 8
    assert [item.note for item in store.annotations.all()] == ["fine"]


def test_a_long_list_of_errors_is_cut_after_ten(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    path = write(tmp_path, HEADER + "call-1,1,4,wang,purple,\n" * 25)
    with pytest.raises(AnnotationError, match=r"row 11: .*; and 15 more \(25 errors") as caught:
        import_annotations(store, path, corpus.infos(), CONFIG)
    assert "row 12" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (b"clip,annotator,label\n1,2,red\n", "needs the columns clip_id.*begins with: clip,"),
        (b"clip_id,label\nc,red\n", "needs the columns.*annotator"),
        (b"PK\x03\x04\x00\x00\x08\x00", "no text in UTF-8 or GB18030"),
        (b'clip_id,annotator,label\nc,"wang,red\n', "row 2: unexpected end of data"),
    ],
)
def test_what_is_no_annotation_file_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_csv(path, CONFIG)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_an_unknown_suffix_are_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(AnnotationError, match=r"none\.csv cannot be read: No such file"):
        import_annotations(store, tmp_path / "none.csv", [], CONFIG)
    with pytest.raises(AnnotationError, match=r"labels\.xlsx is neither \.csv nor \.json"):
        import_annotations(store, tmp_path / "labels.xlsx", [], CONFIG)


def test_an_exported_file_is_filled_in_and_read_back(
    tmp_path: Path, store: Store, corpus: SmallCorpus
) -> None:
    store.annotations.save(
        [
            Annotation(annotator=name, label=label, clip_id="clip-a", note="'=1+1")
            for name, label in (("wang", "red"), ("li", "uncertain"))
        ]
    )
    before = list(store.annotations.all())
    path = tmp_path / "out" / "clips.csv"
    assert export_csv(path, corpus, store, CONFIG) == 4
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["uncertain", "red", "", ""]
    assert rows[2]["text"] == "好的好的\n那就按您说的办吧"
    assert rows[0]["text"].startswith("'=")
    assert rows[0]["facts"] == "sex: female; city: =北京"

    # Nothing new: the blank rows are skipped, the others only learn the times of their clip.
    report = import_annotations(store, path, corpus.infos(), CONFIG)
    assert report.blank == 2
    after = list(store.annotations.all())
    assert [(item.label, item.note, item.created_at) for item in after] == [
        (item.label, item.note, item.created_at) for item in before
    ]
    for row in rows:
        row["label"] = row["label"] or "YELLOW"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    filled = import_annotations(store, path, corpus.infos(), CONFIG, annotator="zhao")
    assert (filled.saved.added, filled.saved.updated) == (2, 0)
    assert {item.clip_id for item in store.annotations.all() if item.annotator == "zhao"} == {
        "clip-b",
        "clip/c 三",
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    clip_id=TEXTS.map(str.strip).filter(bool),
    annotator=TEXTS.map(str.strip).filter(bool),
    note=TEXTS.map(str.strip),
    text=TEXTS,
)
def test_any_text_survives_the_way_out_and_in(
    tmp_path: Path, clip_id: str, annotator: str, note: str, text: str
) -> None:
    item = Annotation(annotator=annotator, label="green", clip_id=clip_id, note=note)
    path = tmp_path / "any.csv"
    write_csv(path, [info(clip_id, text=text)], {clip_id: {annotator: item}})
    (found,) = read_csv(path, CONFIG).annotations
    assert (found.clip_id, found.annotator, found.label, found.note) == (
        clip_id, annotator, "green", note
    )  # fmt: skip
