"""What requests leave in the audit log: who is a key, by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.serving.gate import Caller
    from persona_ray.store import Store


def actor_of(caller: Caller) -> str:
    """How the audit log names who asks."""
    return f"key:{caller.key_id}" if caller.key_id else "anyone on this machine"


def note_reading(store: Store, caller: Caller, user_id: str, calls: int) -> None:
    """Somebody who is not the user sees calls, with links to recordings. Blocks: from a thread."""
    if caller.name == user_id or not calls or not store.audit.is_kept:
        return
    about = store.audit.person("user", user_id)
    store.audit.note(actor_of(caller), "screening.read", about, details={"calls": calls})
