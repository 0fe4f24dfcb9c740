"""Speech information and suggestions as JSON, for the log that rankers are judged and trained by;
and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from persona_ray.inference.assist.records import SpeechInformation

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from persona_ray.inference.assist.records import Candidate, Sentence


def context_json(information: SpeechInformation) -> dict[str, Any]:
    """Of turns before, what was said and how it sounded as a whole; each word of the last alone."""
    brief = tuple(_brief(sentence) for sentence in information.before)
    found: dict[str, Any] = _adapter().dump_python(replace(information, before=brief), mode="json")
    return found


def read_context(body: Mapping[str, Any]) -> SpeechInformation:
    """ValueError for what `context_json` did not write."""
    return _adapter().validate_python(dict(body))


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """Of the script its id: the text stands in the library that the suggestion names."""
    return {
        "script_id": candidate.script.id,
        "score": candidate.score,
        "parts": dict(candidate.parts),
        "propensity": candidate.propensity,
    }


def _brief(sentence: Sentence) -> Sentence:
    return replace(sentence, words=(), tones=())


@cache
def _adapter() -> TypeAdapter[SpeechInformation]:
    from pydantic import TypeAdapter

    return TypeAdapter(SpeechInformation)
