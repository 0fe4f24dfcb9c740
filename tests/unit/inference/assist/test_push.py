"""Whatever comes, pushes leave in time, in order, not too often and not twice."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config.assist import PushConfig
from persona_ray.inference.assist.push import Held, Leaves, PushPolicy

CONFIG = PushConfig(expires_s=8, per_minute=3, same_again_s=90)
# How long after the one before it a script is considered, how long ago its sentence ended.
ASKED = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.floats(-1, 40, allow_nan=False),
        st.floats(0, 12, allow_nan=False),
    ),
    max_size=40,
)


@given(ASKED)
def test_what_leaves_keeps_every_rule(asked: list[tuple[str, float, float]]) -> None:
    policy, now_s = PushPolicy(CONFIG), 1.7e9
    left: list[tuple[float, float, str]] = []
    for script_id, later_s, ago_s in asked:
        now_s += later_s
        found = policy.consider(script_id, now_s - ago_s, now_s)
        # Another replica goes on with it.
        policy = PushPolicy(CONFIG, json.loads(json.dumps(policy.state())))
        if isinstance(found, Leaves):
            assert 0 < found.expires_in_s <= CONFIG.expires_s
            left.append((now_s, now_s - ago_s, script_id))
    assert [said_s for _, said_s, _ in left] == sorted(said_s for _, said_s, _ in left)
    for number, (at_s, _, script_id) in enumerate(left):
        before = left[:number]
        assert sum(at_s - 59.9 < other_s <= at_s for other_s, _, _ in before) < CONFIG.per_minute
        assert all(at_s - other_s > 89.9 for other_s, _, other in before if other == script_id)


@given(ASKED)
def test_a_state_of_a_call_is_all_that_counts(asked: list[tuple[str, float, float]]) -> None:
    whole, parted, now_s = PushPolicy(CONFIG), PushPolicy(CONFIG), 1.7e9
    for script_id, later_s, ago_s in asked:
        now_s += later_s
        parted = PushPolicy(CONFIG, json.loads(json.dumps(parted.state())))
        said_s = now_s - ago_s
        assert whole.consider(script_id, said_s, now_s) == parted.consider(script_id, said_s, now_s)


def test_why_something_is_held() -> None:
    policy = PushPolicy(CONFIG)
    assert policy.consider("a", 100, 101) == Leaves(7)
    assert policy.consider("a", 105, 106) == Held("repeated")
    assert policy.consider("b", 99, 101) == Held("late"), "a later sentence was answered"
    assert policy.consider("b", 101, 109) == Held("late"), "expired"
    assert policy.consider("b", 109, 110) == Leaves(7)
    assert policy.consider("c", 111, 112) == Leaves(7)
    assert policy.consider("d", 113, 114) == Held("often")
    # What was held counts for nothing.
    assert policy.consider("d", 160, 162) == Leaves(6)
    assert policy.consider("a", 192, 193) == Leaves(7)
