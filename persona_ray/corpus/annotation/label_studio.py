"""Reading what Label Studio exports: its JSON and its JSON_MIN.

JSON is a list of tasks with `data`, `annotations` (each with `result`, `completed_by`,
`was_cancelled`) and `predictions`, as "Label Studio JSON format of annotated tasks" documents
(labelstud.io/guide/task_format). JSON_MIN is a list of flat records, one for each annotation: the
task's data, then the value of each control by its name, `annotator`, `created_at`, ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.labels import parse_label
from persona_ray.corpus.annotation.parsed import (
    ParsedFile,
    Problems,
    parse_place,
    parse_text,
    parse_time,
)
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation

# Names in the labelling configuration that exporting writes.
CONTROL = "colour"
NOTE = "note"
# Label Studio knows its own users only: other annotators' names travel in `meta` of a result.
ANNOTATOR_META = "annotator"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One annotation as found: its place in the file, its task's data and its values."""

    place: str
    data: Mapping[str, Any]
    annotator: str
    choices: list[str]
    note: str
    created_at: object
    cancelled: bool = False


def read_label_studio(path: Path, config: AnnotationConfig) -> ParsedFile:
    """Read an export in JSON or JSON_MIN; predictions and drafts are left aside.

    The label is that of the Choices control named `colour` or, else, of the only one there is.
    Of several annotations of a task by one annotator the latest counts. Raises AnnotationError for
    a file that is no such export; wrong annotations are gathered in `problems`.
    """
    problems = Problems(path)
    found: dict[tuple[str, str], Annotation] = {}
    blank = cancelled = 0
    for entry in _entries(_tasks(path), problems):
        if entry.cancelled:
            cancelled += 1
        elif not entry.choices:
            blank += 1
        else:
            try:
                item = _annotation(entry, config, source=path.name)
            except AnnotationError as error:
                problems.add(entry.place, error)
                continue
            key = (item.target, item.annotator)
            if key not in found or item.sort_time >= found[key].sort_time:
                found[key] = item
    return ParsedFile(tuple(found.values()), blank, problems, cancelled)


def _tasks(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise AnnotationError(f"{path} is no JSON: {error}") from None
    except RecursionError:
        raise AnnotationError(f"{path} is no JSON: nested too deeply") from None
    tasks = [content] if isinstance(content, dict) else content
    if not isinstance(tasks, list):
        raise AnnotationError(f"{path} holds no tasks: export it from Label Studio as JSON")
    return tasks


def _entries(tasks: list[Any], problems: Problems) -> Iterator[_Entry]:
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            problems.add(f"task {number}", "is no JSON object")
            continue
        place = f"task {task.get('id', number)}"
        data = task.get("data")
        try:
            if isinstance(data, dict):
                yield from _full(place, data, task.get("annotations") or [])
            else:
                yield _minimal(place, task)
        except AnnotationError as error:
            problems.add(place, error)
        except (AttributeError, KeyError, TypeError) as error:
            problems.add(
                place, f"is not in Label Studio's format ({type(error).__name__}: {error})"
            )


def _full(place: str, data: Mapping[str, Any], annotations: list[Any]) -> Iterator[_Entry]:
    for annotation in annotations:
        results = annotation.get("result") or []
        control = _control(results)
        notes = [
            text
            for result in results
            if result.get("type") == "textarea" and result.get("from_name") == NOTE
            for text in _strings(result["value"]["text"])
        ]
        yield _Entry(
            place=f"{place}, annotation {annotation.get('id', '?')}",
            data=data,
            annotator=_annotator(annotation.get("completed_by"), results),
            choices=[
                choice
                for result in results
                if result.get("type") == "choices" and result.get("from_name") == control
                for choice in _strings(result["value"]["choices"])
            ],
            note="\n".join(notes),
            created_at=annotation.get("updated_at") or annotation.get("created_at"),
            cancelled=bool(annotation.get("was_cancelled")),
        )


def _control(results: list[Any]) -> str:
    names = {result["from_name"] for result in results if result.get("type") == "choices"}
    if CONTROL in names or not names:
        return CONTROL
    if len(names) > 1:
        raise AnnotationError(
            f"choices were made in {', '.join(sorted(names))}: name the one with the labels "
            f"'{CONTROL}' in the labelling configuration"
        )
    return str(names.pop())


def _minimal(place: str, record: Mapping[str, Any]) -> _Entry:
    if CONTROL not in record and "annotation_id" not in record:
        raise AnnotationError(
            f"has neither 'data' and 'annotations' (JSON) nor '{CONTROL}' (JSON_MIN)"
        )
    value = record.get(CONTROL, [])
    note = record.get(NOTE, [])
    return _Entry(
        place=place,
        data=record,
        annotator=_annotator(record.get("annotator"), []),
        choices=_strings(value["choices"] if isinstance(value, dict) else value),
        note="\n".join(_strings(note["text"] if isinstance(note, dict) else note)),
        created_at=record.get("updated_at") or record.get("created_at"),
    )


def _strings(value: Any) -> list[str]:
    """A text, or a list of texts; JSON_MIN writes one where there is but one."""
    values = [value] if isinstance(value, str) else list(value)
    flat = [text for item in values for text in ([item] if isinstance(item, str) else item)]
    return [text for text in map(parse_text, flat) if text]


def _annotator(completed_by: Any, results: list[Any]) -> str:
    """The name that exporting put into `meta`, or the e-mail address, or the number of the user."""
    for result in results:
        for name in _strings((result.get("meta") or {}).get(ANNOTATOR_META, [])):
            return name
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return parse_text(completed_by)


def _annotation(entry: _Entry, config: AnnotationConfig, source: str) -> Annotation:
    if len(entry.choices) > 1:
        raise AnnotationError(f"{len(entry.choices)} labels ({', '.join(entry.choices)}), not one")
    if not entry.annotator:
        raise AnnotationError("no annotator: completed_by is missing")
    place = parse_place(entry.data)
    return Annotation(
        annotator=entry.annotator,
        label=parse_label(entry.choices[0], config),
        clip_id=place.clip_id,
        call_id=place.call_id,
        start_s=place.start_s,
        end_s=place.end_s,
        note=entry.note,
        source=source,
        created_at=parse_time(entry.created_at),
    )
