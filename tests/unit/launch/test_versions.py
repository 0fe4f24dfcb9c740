"""The line of champions, from a history that may have been broken off or gone round others' way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.errors import RegistryError
from persona_ray.launch.versions.records import Action, Change, champions_before

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def change(at: int, action: Action, before: int | None, after: int) -> Change:
    return Change(action, before, after, START + timedelta(minutes=at), {"reason": "原因"})


@given(st.lists(st.integers(0, 5), max_size=20))
def test_promotions_and_rollbacks_are_a_stack(steps: list[int]) -> None:
    """0 takes one back where it can; a number promotes that version, again too."""
    stack: list[int] = []
    history: list[Change] = []
    for at, step in enumerate(steps):
        if step and stack[-1:] != [step]:
            history.append(change(at, Action.PROMOTE, stack[-1] if stack else None, step))
            stack.append(step)
        elif not step and len(stack) > 1:
            left = stack.pop()
            history.append(change(at, Action.ROLLBACK, left, stack[-1]))
    if stack:
        assert champions_before(stack[-1], history) == stack[-2::-1]


def test_a_promotion_that_was_broken_off_is_no_champion() -> None:
    # Told, but the alias never moved from 1; then 3 was promoted from there.
    history = [
        change(0, Action.PROMOTE, None, 1),
        change(1, Action.PROMOTE, 1, 2),
        change(2, Action.PROMOTE, 1, 3),
    ]
    assert champions_before(3, history) == [1]
    assert champions_before(1, history[:2]) == []


def test_a_champion_that_was_made_elsewhere_has_none_before_it() -> None:
    history = [change(0, Action.PROMOTE, None, 1), change(1, Action.PROMOTE, 1, 2)]
    assert champions_before(9, history) == []
    # The next promotion tells from where it started.
    assert champions_before(4, [*history, change(2, Action.PROMOTE, 9, 4)]) == [9]


def test_a_change_comes_back_as_it_was_written() -> None:
    one, other = change(0, Action.PROMOTE, None, 1), change(1, Action.ROLLBACK, 2, 1)
    for item in (one, other):
        assert Change.from_json(item.key, item.to_json()) == item
    assert one.key < other.key
    for text in ("", "[]", '{"action": "sell", "before": 1, "after": 2, "at": "2026-01-01"}'):
        with pytest.raises(RegistryError, match=r"tag history-1 .* was changed by hand"):
            Change.from_json("history-1", text)
