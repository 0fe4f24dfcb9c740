"""Planted conversations as JSON lines, in the form that `corpus.conversations` reads."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.conversation import Speaker
from persona_ray.files import write_whole

if TYPE_CHECKING:
    from persona_ray.synth.assist.composing import Answered, PlantedConversation
    from persona_ray.synth.assist.world import PlantedTurn


def write_planted(conversations: Iterable[PlantedConversation], path: Path) -> int:
    """Whole or not at all, compressed where the name ends in .gz; how many they were."""
    lines = [json.dumps(_row(one), ensure_ascii=False) for one in conversations]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return len(lines)


def _row(one: PlantedConversation) -> dict[str, Any]:
    return {
        "id": one.id,
        "customer": one.customer.id,
        "colour": one.customer.colour if one.customer.known else "",
        "product": one.product,
        "outcome": one.outcome,
        "turns": [turn for answered in one.turns for turn in _turns(answered)],
    }


def _turns(answered: Answered) -> list[dict[str, Any]]:
    turn, agent = answered.turn, {"speaker": Speaker.AGENT, "step": answered.turn.step}
    asked = [{**agent, "text": turn.asked}] if turn.asked else []
    script = {"script": answered.script.id, "score": answered.score}
    return [*asked, _customer(turn), {**agent, "text": answered.script.text, **script}]


def _customer(turn: PlantedTurn) -> dict[str, Any]:
    return {
        "speaker": Speaker.CUSTOMER,
        "text": turn.text,
        "step": turn.step,
        "relation": turn.relation,
        "emotion": turn.emotion,
        "tone": asdict(turn.tone),
        "keywords": [
            {
                "start": word.start,
                "end": word.end,
                "emotion": word.emotion,
                "tone": asdict(word.tone),
            }
            for word in turn.keywords
        ],
        "fits": turn.fits,
    }
