"""Dialogues as JSON lines: `id`, `category`, `turns` of `speaker` and `text`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from persona_ray.files import write_whole
from persona_ray.synth.dialogues.composing import CallDialogue


def as_json(dialogue: CallDialogue) -> str:
    """One line, without its end."""
    turns = [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns]
    row = {"id": dialogue.id, "category": dialogue.category, "turns": turns}
    return json.dumps(row, ensure_ascii=False)


def write_dialogues(dialogues: Iterable[CallDialogue], path: Path) -> int:
    """Write them to `path`, whole or not at all; how many they were."""
    lines = [as_json(dialogue) for dialogue in dialogues]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(f"{line}\n" for line in lines))
    return len(lines)
