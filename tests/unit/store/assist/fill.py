"""Calls of agents with a row or more in every table of assistance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from persona_ray.store import Store
from persona_ray.store.assist.records import (
    AssistCall,
    NewEvent,
    NewPush,
    NewSuggestion,
    Said,
    Scored,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATE_S = 3600.0
SOUND = {"channels": 2}
SCENE = {"product": "loan", "step": "offer"}


def scorer(said: Said, outcome: str) -> Scored:
    """Used 70, else 20; agreed adds 20."""
    score = (70.0 if said.action == "used" else 20.0) + (20.0 if outcome == "agreed" else 0.0)
    return Scored(score, score > 60)


def begin(
    store: Store, agent: str = "ann", call_id: str = "k1", customer: str = "c1"
) -> AssistCall:
    return store.assist_calls.open(
        agent, call_id, SOUND, SCENE, customer, began=f"began with {customer}"
    )


def push_of(call: AssistCall, turn: int, at: datetime = NOW) -> NewPush:
    return NewPush(
        push_id=f"{call.agent_id}-{call.call_id}-{turn}",
        channel="device",
        scripts=("s1", "s2"),
        expires_at=at + timedelta(seconds=8),
    )


def suggestion_of(
    call: AssistCall, turn: int, push: NewPush | None, at: datetime = NOW, **more: object
) -> NewSuggestion:
    said = {"text": f"words of {call.customer_id}"}
    candidates = [
        {"script_id": name, "score": score, "parts": {}, "propensity": chance}
        for name, score, chance in (("s1", 0.9, 0.75), ("s2", 0.5, 0.25))
    ]
    values: dict[str, object] = {
        "turn": turn,
        "at": at,
        "product": "loan",
        "context": said,
        "library": "demo 1",
        "ranker": "ranker 3",
        "candidates": candidates,
        "shown": (0, 1),
        "chosen": "s1",
        "push": push,
    }
    return NewSuggestion(**{**values, **more})  # type: ignore[arg-type]


def decide(store: Store, call: AssistCall, before: int = 0, ended: bool = False) -> str:
    """A customer's sentence and a push after it; the push's id."""
    turn = before + 1
    push = push_of(call, turn)
    events = [
        NewEvent(f"turn of {call.customer_id}"),
        NewEvent("push", push.push_id, push.expires_at),
    ]
    made = suggestion_of(call, turn, push)
    store.assist_calls.settle(call, {"at": turn}, before, events, [made], ended=ended)
    return push.push_id
