"""Many calls at once over fakes, on a clock that does not wait."""

from __future__ import annotations

import pytest

from benchmarks.screening_sessions import simulate
from persona_ray.config.screening import DialogueConfig, ScreeningConfig
from persona_ray.inference.screening.records import Outcome, Speaker


def test_calls_keep_apart_and_each_ends() -> None:
    """`simulate` checks every call by itself."""
    found = simulate(60, seed=3)
    outcomes = {one.verdict.outcome for one in found if one.verdict}
    assert {Outcome.HUNG_UP, Outcome.PASSED, Outcome.SCREENED, Outcome.CALLER_LEFT} <= outcomes
    assert any(one.killed for one in found)
    stops = [stop_s for one in found for stop_s in one.stops_s]
    assert stops
    assert max(stops) <= 0.2


@pytest.mark.parametrize(("failing", "hanging"), [(0.5, 0.2), (1.0, 0.0), (0.0, 1.0)])
def test_calls_end_whatever_fails(failing: float, hanging: float) -> None:
    found = simulate(12, seed=4, failing=failing, hanging=hanging, killing=0.5)
    missing = [name for one in found if one.verdict for name in one.verdict.evidence]
    assert any(name.startswith("missing_") for name in missing)


def test_listening_without_a_word() -> None:
    config = ScreeningConfig(dialogue=DialogueConfig(enabled=False))
    found = simulate(12, seed=5, config=config)
    turns = [turn for one in found if one.verdict for turn in one.verdict.turns]
    assert turns
    assert all(turn.speaker is Speaker.CALLER for turn in turns)
