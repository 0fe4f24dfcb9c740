"""Ten rounds of calls, feedback, retraining and release with planted customers."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from benchmarks.assist_loop import configured, simulate

pytestmark = pytest.mark.drill


def test_feedback_raises_what_agents_take_and_a_worse_ranker_is_refused(tmp_path: Path) -> None:
    rows, worse = simulate(configured(tmp_path, []), rounds=10, calls=70, conversations=30)
    accepted = [row.earned.value for row in rows]
    assert mean(accepted[-3:]) > mean(accepted[:3]) + 0.08
    assert sum(row.decision == "released" for row in rows) >= 2
    told = [row for row in rows if row.told is not None]
    # Intervals of 95 %, of estimates that are a little high.
    assert sum(row.inside for row in told) >= 2 * len(told) / 3
    assert worse.partition(":")[0] in ("coverage", "no_gain", "mood")
