"""Many screened calls at once, with fakes at the seams: real asyncio, random timings and failures.

200 callers by default: frauds, promoters, couriers, friends. They talk over the robot, fall silent,
mumble, leave; parts are late, fail or never answer; replicas are killed, and another one goes on
from the state that was kept, or ends the call with the verdict so far. Checked for every call: one
verdict, with its own texts alone; nothing after it; no hang-up without evidence; an end in time;
nobody left in silence. Prints outcomes, when it was decided, what that cost, and how soon the
robot stops when it is interrupted. The clock is virtual unless `--real` is given: then it takes as
long as calls take, and times are those of one process.

    python -m benchmarks.screening_sessions [--calls 200] [--real]
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.screening_fakes import (
    FakeParts,
    MixedError,
    Scenario,
    Trouble,
    VirtualLoop,
    scenario,
)
from benchmarks.screening_phone import Found, Phone
from benchmarks.shared import described
from persona_ray.config.screening import ScreeningConfig
from persona_ray.inference.screening.call import ScreeningCall
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import Outcome, Speaker, Standing, VoiceMatch
from persona_ray.inference.screening.session import end_so_far
from persona_ray.inference.screening.steps import Conclude

# All calls ring within this time.
_STARTS_WITHIN_S = 1.0


async def one_call(
    case: Scenario, parts: FakeParts, config: ScreeningConfig, seed: int, killing: float
) -> Found:
    """From its ring to its verdict; with probability `killing` its replica dies in between."""
    rng = random.Random(f"{seed}/replica/{case.number}")
    await asyncio.sleep(rng.uniform(0, _STARTS_WITHIN_S))
    phone = Phone(case, seed)
    phone.found.began_s = asyncio.get_running_loop().time()
    caller = asyncio.ensure_future(phone.caller())
    phone.call = ScreeningCall(case.event, parts, phone, config)
    run = asyncio.ensure_future(phone.call.run())
    if rng.random() < killing:
        await asyncio.wait([run], timeout=rng.uniform(0.05, 30))
        if not run.done():
            run.cancel()
            await asyncio.wait([run])
            await _replaced(phone, parts, config, rng)
    if not run.cancelled():
        await run
    phone.found.ended_s = asyncio.get_running_loop().time()
    await caller
    return phone.found


async def _replaced(
    phone: Phone, parts: FakeParts, config: ScreeningConfig, rng: random.Random
) -> None:
    """Somewhat later another replica has the call, or ends it."""
    found, kept = phone.found, phone.kept
    found.killed = True
    phone.call = None
    await asyncio.sleep(1.0)
    if kept is not None and rng.random() < 0.3:
        last = end_so_far(kept, config, ReasonCode.SERVICE_FAILED)[-1]
        assert isinstance(last, Conclude)
        phone.concluded(last.verdict)
        return
    phone.call = ScreeningCall(found.case.event, parts, phone, config, kept=kept)
    await phone.call.run()


async def many_calls(
    count: int, seed: int, config: ScreeningConfig, failing: float, hanging: float, killing: float
) -> list[Found]:
    """`count` calls at once."""
    cases = [scenario(number, seed) for number in range(1, count + 1)]
    parts = FakeParts(cases, Trouble(seed, failing, hanging))
    return await asyncio.gather(*(one_call(case, parts, config, seed, killing) for case in cases))


def check(found: Found, config: ScreeningConfig) -> None:
    """What holds of every call, whatever went wrong in it. Raises AssertionError."""
    assert not MixedError.seen, MixedError.seen
    assert not found.wrong, found.wrong
    assert found.verdicts == 1
    verdict = found.verdict
    assert verdict is not None
    assert verdict.call == found.case.event
    for turn in verdict.turns:
        own = f"来电{found.case.number}第" if turn.speaker is Speaker.CALLER else None
        assert own is None or turn.text.startswith(own)
        if turn.text.startswith("答复"):
            assert turn.text.startswith(f"答复{found.case.number}，")
    said = [turn for turn in verdict.turns if turn.speaker is Speaker.CALLER]
    assert len({turn.text for turn in said}) == len(said) <= found.caller_turns
    if verdict.outcome is Outcome.HUNG_UP:
        voice = isinstance(verdict.voice, VoiceMatch) and verdict.voice.standing is Standing.ILLEGAL
        assert voice or verdict.evidence["p_illegal"] > 0.5
    longest_s = config.policy.ask_s + config.dialogue.max_call_s + 60
    assert verdict.duration_s <= longest_s
    assert found.longest_silence_s <= config.dialogue.silence_s + 3 * config.dialogue.part_s


def simulate(
    count: int,
    seed: int = 1,
    config: ScreeningConfig | None = None,
    *,
    failing: float = 0.03,
    hanging: float = 0.01,
    killing: float = 0.2,
    real: bool = False,
) -> list[Found]:
    """`count` calls at once, each checked."""
    config = config or ScreeningConfig()
    MixedError.seen.clear()
    loop = asyncio.new_event_loop() if real else VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        found = runner.run(many_calls(count, seed, config, failing, hanging, killing))
    for one in found:
        check(one, config)
    return found


# --- figures -----------------------------------------------------------------------------------


def _percentiles(values: Sequence[float], unit: str) -> str:
    if not values:
        return "none"
    middle, high, most = np.percentile(values, (50, 95, 100))
    return f"p50 {middle:.2f}, p95 {high:.2f}, most {most:.2f} {unit} ({len(values)})"


def _print(found: Sequence[Found], config: ScreeningConfig) -> None:
    verdicts = [(one.case, one.verdict) for one in found if one.verdict is not None]
    print("| caller | calls | " + " | ".join(Outcome) + " |")
    print("|---" * (len(Outcome) + 2) + "|")
    for category in sorted({case.category for case, _ in verdicts}):
        of = Counter(verdict.outcome for case, verdict in verdicts if case.category == category)
        row = " | ".join(str(of[outcome]) for outcome in Outcome)
        print(f"| {category} | {of.total()} | {row} |")
    hung_up = [(case, one) for case, one in verdicts if one.outcome is Outcome.HUNG_UP]
    turns = [one.evidence["caller_turns"] for _, one in hung_up]
    decided = [one.decided_s for _, one in verdicts if one.decided_s is not None]
    wrongly = sum(not case.illegal for case, _ in hung_up)
    listened = sum(
        one.evidence["caller_turns"] - (one.outcome is Outcome.HUNG_UP)
        for case, one in verdicts
        if case.illegal
    )
    policy = config.policy
    cost = policy.false_hang_up_cost * wrongly + policy.fraud_turn_cost * listened
    print(f"\ncaller's turns until a hang-up: {_percentiles(turns, 'turns')}")
    print(f"decided after: {_percentiles(decided, 's')}")
    print(f"wrong hang-ups {wrongly}, turns that frauds were listened to {listened:g}: ", end="")
    print(f"cost {cost / len(found):.2f} a call")
    stops = [1000 * stop_s for one in found for stop_s in one.stops_s]
    print(f"last sound after an interruption: {_percentiles(stops, 'ms')}")
    silences = [one.longest_silence_s for one in found]
    print(f"longest time in which nothing happened: {_percentiles(silences, 's')}")
    rings = [(one.began_s, +1) for one in found] + [(one.ended_s, -1) for one in found]
    at_once = np.cumsum([change for _, change in sorted(rings)])
    print(f"calls at once: {at_once.max()} at most")
    missing = sum(any(name.startswith("missing_") for name in one.evidence) for _, one in verdicts)
    print(f"calls with a part that failed: {missing}; replicas killed: ", end="")
    print(sum(one.killed for one in found))


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="by the clock on the wall")
    chosen = parser.parse_args()
    began, used = time.perf_counter(), time.process_time()
    found = simulate(chosen.calls, chosen.seed, real=chosen.real)
    _print(found, ScreeningConfig())
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    print(f"took {took_s:.1f} s, of which {cpu_s:.1f} s processor; every call checked")


if __name__ == "__main__":
    main()
