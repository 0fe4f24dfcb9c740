"""Corrected calls as dialogues to train on, with their lineage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.store.screening.corrections import CorrectedCall

# The dialogues of training call the side that was called so, whoever or whatever spoke.
_SPEAKERS = {"caller": "caller", "robot": "callee"}


def sample_line(made: CorrectedCall) -> str:
    """A line of JSON; empty for a call in which the caller said nothing. The caller's number and
    the user are not in it: `ref` leads back to them for as long as the call is kept."""
    turns = [
        {"speaker": _SPEAKERS[turn["speaker"]], "text": turn["text"]}
        for turn in made.verdict.get("turns", [])
    ]
    if not any(turn["speaker"] == "caller" for turn in turns):
        return ""
    correction = made.correction
    lineage = {
        "source": "correction",
        "call": made.ref,
        "called_at": made.called_at.isoformat(),
        "corrected_at": correction.at.isoformat(),
        "before": correction.before,
        "model": correction.model,
        "channel": made.channel,
        "text": "recognised",
    }
    sample = {
        "id": f"correction-{made.ref}",
        "category": correction.category,
        "turns": turns,
        "lineage": lineage,
    }
    return json.dumps(sample, ensure_ascii=False) + "\n"
