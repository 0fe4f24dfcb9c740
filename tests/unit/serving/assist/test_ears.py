"""What was said, and when: guesses that are thrown away, sound that is sent again."""

from __future__ import annotations

import threading

import numpy as np
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.serving.assist.arrivals import Arrivals
from tests.unit.serving.assist.parts import (
    Fakes,
    Heard,
    frames_of,
    line,
    listen,
    quiet,
    spoken,
    start,
    stereo,
)


def test_a_guess_about_a_sentence_that_goes_on_is_thrown_away(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    """A pause of 0.4 s begins a guess, and ends no sentence."""
    before = np.concatenate([quiet(0.5), spoken(1.0), quiet(0.4)])
    customer = np.concatenate([before, spoken(0.8, seed=2), quiet(1.0)])
    frames = frames_of(stereo(quiet(3.7), customer))
    pause = len(frames_of(stereo(quiet(0.0), before)))
    begun = threading.Event()
    fake.ears.before = begun.set
    with line(client, key, start()) as (socket, _):
        for one in frames[:pause]:
            socket.send_bytes(one)
        # Frames that come all at once would leave it no time to begin.
        assert begun.wait(60)
        for one in frames[pause:]:
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        heard = listen(socket, Heard())
    assert [len(speech) for speech in fake.ears.asked] == [1, 2]
    ((_, text),) = heard.turns
    # 0.08 s on either side of both.
    assert abs(float(text[2:-1]) - (1.8 + 4 * 0.08)) < 0.1


@given(
    st.lists(st.floats(0.01, 0.5), min_size=1, max_size=30),
    st.floats(0, 20),
    st.floats(0, 5),
)
def test_sound_that_is_sent_again_is_as_old_as_it_is(
    frames: list[float], gone_s: float, moment: float
) -> None:
    """Whether a line broke for a while or never: what was said then was said then."""
    ends = np.cumsum(frames)
    moment_s = min(moment, float(ends[-1]))
    steady, again = Arrivals(resumed=False), Arrivals(resumed=True)
    for end_s in ends:
        steady.came(float(end_s), 100 + float(end_s))
        # All at once, when the line is there again.
        again.came(float(end_s), 100 + float(ends[-1]) + gone_s)
    said_at = steady.said_at(moment_s)
    assert 0 <= said_at - (100 + moment_s) <= max(frames) + 1e-9
    assert again.said_at(moment_s) <= 100 + moment_s + gone_s + 1e-9
