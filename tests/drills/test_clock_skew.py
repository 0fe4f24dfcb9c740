"""A machine whose clock is ten minutes off shares PostgreSQL with one whose clock is right: nobody
takes what the other holds, nothing ends too early or too late."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from persona_ray.store import Store, open_store
from persona_ray.store.jobs import JobCall
from persona_ray.store.screening.call_records import NewCall

pytestmark = pytest.mark.drill

LEASE_S, GONE_S, RESUME_S = 60.0, 60.0, 300.0
WRONG = """
import sys
from datetime import UTC, datetime
from tests.drills.test_clock_skew import begin, judged
from persona_ray.store import open_store
with open_store(sys.argv[2]) as store:
    print(datetime.now(UTC).isoformat())
    print(begin(store, "wrong") if sys.argv[1] == "begin" else judged(store))
"""


def begin(store: Store, who: str) -> str:
    """What a replica holds: a call of a job under a lease, a live call, a screened call; and a key
    that somebody made."""
    store.jobs.create(who, "owner", [JobCall("a.wav", "a.wav", 0)], store.now())
    claim = store.jobs.claim(store.now(), LEASE_S)
    assert claim is not None
    call = store.live_calls.open("owner", who, {"rate": 8000})
    store.live_calls.settle(call, {"at": 1}, 0, ["{}"])
    new = NewCall(
        user_id="user",
        call_id=who,
        number="+4930123456",
        channel="phone",
        at=store.now(),
        decision="screen",
        source={},
    )
    store.screened_calls.hand_over(new)
    return store.keys.create(who, ["live"], lifetime=timedelta(minutes=5)).key.key_id


def judged(store: Store) -> str:
    """What another replica takes away, or does not let in: nothing, if clocks do not matter."""
    now = store.now()
    taken = [] if store.jobs.claim(now, LEASE_S) is None else ["a lease"]
    if store.live_calls.expire(now - timedelta(seconds=RESUME_S)):
        taken.append("a live call")
    if store.screened_calls.abandoned(now - timedelta(seconds=GONE_S)):
        taken.append("a screened call")
    taken += [f"the key of {key.name}" for key in store.keys.all() if key.state(now) != "valid"]
    return ", ".join(taken)


def elsewhere(what: str, url: str, off: str) -> str:
    """Done by a process whose clock is off."""
    done = subprocess.run(
        ["faketime", "-f", off, sys.executable, "-c", WRONG, what, url],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    time, said = done.stdout.split("\n")[:2]
    assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) > timedelta(minutes=9)
    return said


@pytest.mark.parametrize("off", ["+10m", "-10m"])
def test_a_clock_is_off(postgres_url: str, off: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("needs the program faketime")
    with open_store(postgres_url) as store:
        elsewhere("begin", postgres_url, off)
        assert judged(store) == ""
        begin(store, "right")
        assert elsewhere("judge", postgres_url, off) == ""
        # Times do pass.
        database = store._database
        read_at, then = database._reading
        database._reading = read_at, then + timedelta(seconds=RESUME_S + LEASE_S)
        everything = judged(store)
    for one in ("a lease", "a live call", "a screened call", "key of right", "key of wrong"):
        assert one in everything
