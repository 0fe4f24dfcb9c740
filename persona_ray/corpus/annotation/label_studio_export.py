"""A folder that a person can load into Label Studio: labelling configuration, tasks, audio."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.csv_format import facts_text
from persona_ray.corpus.annotation.label_studio import ANNOTATOR_META, CONTROL, NOTE
from persona_ray.corpus.annotation.labels import valid_labels
from persona_ray.files import draft
from persona_ray.store import Annotation
from persona_ray.types import Clip, ClipInfo, Recognition

# Label Studio serves files below its document root at this address.
LOCAL_FILES = "/data/local-files/?d=audio/"

_AUDIO = "audio"
# CSS colours of the four labels of the product; others have none.
_BACKGROUNDS = {"red": "#d64541", "blue": "#2f6fb0", "yellow": "#e0b020", "green": "#3f9a55"}

_README = """\
# Clips to annotate in Label Studio

1. Start Label Studio so that it may read this folder:
   `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \\
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={folder} label-studio start`
2. Make a project. Settings > Labeling Interface > Code: paste `labelling.xml`.
3. Settings > Cloud Storage > Add Source Storage > Local files: `{folder}/audio`. Save it; do not
   sync, the tasks come next.
4. Import `tasks.json`.
   Annotators that are named by an e-mail address must be members of the organisation.
5. When done: Export > JSON, then `persona-ray annotate import FILE`.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: tasks, and annotations and predictions among them."""

    folder: Path
    tasks: int
    annotations: int
    predictions: int

    def __str__(self) -> str:
        return (
            f"{self.folder}: {self.tasks} tasks with {self.annotations} annotations and "
            f"{self.predictions} predictions; README.md says how to load them"
        )


def write_label_studio(
    folder: Path,
    clips: Iterable[Clip],
    annotations: Mapping[str, Mapping[str, Annotation]],
    predictions: Mapping[str, Recognition],
    config: AnnotationConfig,
    audio_prefix: str = LOCAL_FILES,
) -> Exported:
    """Write `labelling.xml`, `tasks.json`, `audio/*.wav` and a README, one clip at a time.

    `annotations` by clip id and annotator, `predictions` by clip id. `audio_prefix` goes before
    the name of a wav file to make the URL that Label Studio opens.
    """
    (folder / _AUDIO).mkdir(parents=True, exist_ok=True)
    (folder / "labelling.xml").write_text(labelling_config(config), encoding="utf-8")
    (folder / "README.md").write_text(_README.format(folder=folder.absolute()), encoding="utf-8")
    tasks = annotated = predicted = 0
    with draft(folder / "tasks.json") as written, written.open("w", encoding="utf-8") as file:
        for clip in clips:
            name = wav_name(clip.clip_id)
            _write_wav(folder / _AUDIO / name, clip)
            votes = annotations.get(clip.clip_id, {})
            prediction = predictions.get(clip.clip_id)
            task = _task(clip, audio_prefix + quote(name), votes.values(), prediction, config)
            file.write(",\n" if tasks else "[\n")
            file.write(json.dumps(task, ensure_ascii=False))
            tasks += 1
            annotated += len(votes)
            predicted += prediction is not None
        file.write("\n]\n" if tasks else "[]\n")
    return Exported(folder, tasks, annotated, predicted)


def labelling_config(config: AnnotationConfig) -> str:
    """The labelling configuration: player, text, facts, one choice for each label, a note."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Audio", name="audio", value="$audio")
    ElementTree.SubElement(view, "Text", name="text", value="$text")
    ElementTree.SubElement(view, "Text", name="facts", value="$facts")
    choices = ElementTree.SubElement(
        view, "Choices", name=CONTROL, toName="audio", choice="single-radio", required="true",
        showInline="true",
    )  # fmt: skip
    for number, label in enumerate(valid_labels(config), start=1):
        choice = ElementTree.SubElement(choices, "Choice", value=label)
        if number < 10:
            choice.set("hotkey", str(number))
        if label in _BACKGROUNDS:
            choice.set("background", _BACKGROUNDS[label])
    ElementTree.SubElement(
        view, "TextArea", name=NOTE, toName="audio", rows="2", maxSubmissions="1",
        placeholder="note",
    )  # fmt: skip
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def wav_name(clip_id: str) -> str:
    """A file name for any clip id; different ids have different names."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", clip_id):
        return f"{clip_id}.wav"
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", clip_id)[:60].strip("-")
    return f"{safe}.{hashlib.sha256(clip_id.encode()).hexdigest()[:16]}.wav"


def _write_wav(path: Path, clip: Clip) -> None:
    import soundfile

    soundfile.write(path, clip.samples, clip.sample_rate_hz, subtype="PCM_16", format="WAV")


def _task(
    clip: ClipInfo,
    audio_url: str,
    annotations: Iterable[Annotation],
    prediction: Recognition | None,
    config: AnnotationConfig,
) -> dict[str, Any]:
    task: dict[str, Any] = {
        "data": {
            "audio": audio_url,
            "text": clip.text,
            "facts": facts_text(clip) or "-",
            "scene": clip.scene,
            "clip_id": clip.clip_id,
            "call_id": clip.call_id,
            "start_s": round(clip.start_s, 3),
            "end_s": round(clip.end_s, 3),
            **{f"fact_{name}": value for name, value in clip.facts.items()},
        },
        "annotations": [_annotation(clip.clip_id, item, config) for item in annotations],
    }
    if prediction is not None:
        label = prediction.primary
        task["predictions"] = [
            {
                "model_version": "persona-ray",
                "score": round(prediction.probabilities[label], 6),
                "result": list(_results(clip.clip_id, "model", label, note="")),
            }
        ]
    return task


def _annotation(clip_id: str, item: Annotation, config: AnnotationConfig) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "result": list(_results(clip_id, item.annotator, item.label, item.note)),
        "was_cancelled": False,
        "ground_truth": item.annotator == config.adjudicator,
    }
    if item.created_at is not None:
        annotation["created_at"] = annotation["updated_at"] = item.created_at.isoformat()
    if "@" in item.annotator:
        annotation["completed_by"] = {"email": item.annotator}
    else:
        # Importing refuses a user that it does not know; without one, whoever imports is taken.
        for result in annotation["result"]:
            result["meta"] = {ANNOTATOR_META: [item.annotator]}
    return annotation


def _results(clip_id: str, by: str, label: str, note: str) -> Iterator[dict[str, Any]]:
    # Ids must differ from all others of the project, and be the same in the next export.
    unique = hashlib.sha256(f"{clip_id}\0{by}".encode()).hexdigest()[:10]
    common = {"to_name": "audio"}
    yield {
        "id": f"{unique}c", "from_name": CONTROL, **common, "type": "choices",
        "value": {"choices": [label]},
    }  # fmt: skip
    if note:
        yield {
            "id": f"{unique}n", "from_name": NOTE, **common, "type": "textarea",
            "value": {"text": [note]},
        }  # fmt: skip
