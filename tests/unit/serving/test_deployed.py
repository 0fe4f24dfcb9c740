"""What becomes of a request whose replicas die, are full, or hold another bundle."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from persona_ray.errors import NotAudioError, ServiceBusyError, ServiceLostError
from persona_ray.inference.clips import ClipInput
from persona_ray.serving.deploy import deployed
from persona_ray.serving.deploy.deployed import DeployedService, Handles
from persona_ray.serving.deploy.stages import Failed, Heard, Judged, Stale
from persona_ray.serving.service import Recording, ServedModel
from persona_ray.types import NothingUsable
from persona_ray.watch.spans import Carried

pytestmark = pytest.mark.anyio

MODEL = ServedModel("persona", "3", ("red", "blue"), True, True, 8_000)
HEARD = Heard.of_clips((ClipInput(None, 8_000, "好的"),), True, {})
JUDGED = Judged(HEARD, (NothingUsable("silence"),), MODEL, {"judging": 0.1})


class Response:
    """What `remote` gives: awaited, it raises or returns; cancelled, it raises as well where it has
    ended so, as Serve's does."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.answer: Any = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if isinstance(self.outcome, Exception):
            raise self.outcome

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        if isinstance(self.outcome, asyncio.Event):
            yield from self.outcome.wait().__await__()
            return self.answer
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Method:
    """One method of a deployment: it gives its answers in turn, the last for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.responses: list[Response] = []

    @property
    def calls(self) -> int:
        return len(self.responses)

    def remote(self, *_: Any, place: Carried | None = None) -> Response:
        del place
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.responses.append(Response(answer))
        return self.responses[-1]


class Deployment:
    def __init__(self, **methods: Method) -> None:
        self.__dict__.update(methods)


def service(*answers: Any) -> tuple[DeployedService, Method]:
    judge = Method(*answers)
    fused: Any = Deployment(judge=judge, model=Method(MODEL))
    asr: Any = Deployment(call=Method(HEARD), clips=Method(HEARD), text=Method(*answers))
    return DeployedService(Handles(asr, fused=fused)), judge


def upstream() -> BaseException:
    """As Serve tells of a replica that died before the one that was asked."""
    error: BaseException = RayServeException("an upstream actor died")
    error.__cause__ = ActorDiedError()
    return error


def wrapped() -> BaseException:
    error: BaseException = RayTaskError("judge", "Traceback ...", ActorDiedError())
    return error


@pytest.mark.parametrize(
    "death", [ActorDiedError(), ActorUnavailableError("gone", None), upstream(), wrapped()]
)
async def test_a_death_is_followed_by_one_more_try(death: BaseException) -> None:
    once, judge = service(death, JUDGED)
    answer = await once.call(Recording("a.wav", 0, b""))
    assert (answer.model, judge.calls) == (MODEL, 2)
    twice, judge = service(death)
    with pytest.raises(ServiceLostError) as caught:
        await twice.call(Recording("a.wav", 0, b""))
    assert judge.calls == 2
    assert "Traceback" not in str(caught.value)


async def test_a_death_before_one_that_never_answers_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deployed, "_LONG_S", 0.01)
    waiting, judge = service(asyncio.Event(), JUDGED)
    asr: Any = waiting._handles.asr
    asr.call = Method(ActorUnavailableError("gone with its node", None), HEARD)
    answer = await asyncio.wait_for(waiting.call(Recording("a.wav", 0, b"")), 10)
    assert (answer.model, judge.calls, asr.call.calls) == (MODEL, 2, 2)
    assert judge.responses[0].cancelled
    # Whoever is merely slow is waited for.
    slow, judge = service(asyncio.Event())
    asked = asyncio.create_task(slow.call(Recording("a.wav", 0, b"")))
    await asyncio.sleep(0.1)
    assert (asked.done(), judge.calls) == (False, 1)
    judge.responses[0].outcome.set()
    judge.responses[0].answer = JUDGED
    assert (await asked).model == MODEL


async def test_a_full_queue_is_not_asked_again() -> None:
    full, judge = service(BackPressureError(7, 6))
    with pytest.raises(ServiceBusyError, match="max_queued 6"):
        await full.call(Recording("a.wav", 0, b""))
    assert judge.calls == 1
    # The recogniser's work is for nobody.
    asr: Any = full._handles.asr
    assert [one.cancelled for one in asr.call.responses] == [True]


async def test_an_error_of_the_request_is_raised_as_itself() -> None:
    failed, judge = service(Failed(NotAudioError("a.wav is no audio")))
    with pytest.raises(NotAudioError, match=r"a\.wav"):
        await failed.call(Recording("a.wav", 0, b""))
    with pytest.raises(NotAudioError, match=r"a\.wav"):
        await failed.text(JUDGED, 8_000, ())  # type: ignore[arg-type]
    assert judge.calls == 1


async def test_other_errors_are_not_hidden() -> None:
    broken, judge = service(KeyError("a bug"))
    with pytest.raises(KeyError):
        await broken.call(Recording("a.wav", 0, b""))
    assert judge.calls == 1


async def test_a_swap_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "_SWAP_STEP_S", 0.0)
    swapping, judge = service(Stale("the towers are of two bundles"), Stale("still"), JUDGED)
    assert (await swapping.call(Recording("a.wav", 0, b""))).model == MODEL
    assert judge.calls == 3
    monkeypatch.setattr(deployed, "_SWAP_S", 0.0)
    never, _ = service(Stale("the towers are of two bundles"))
    with pytest.raises(ServiceBusyError, match="two bundles"):
        await never.call(Recording("a.wav", 0, b""))


async def test_clips_with_text_spare_the_recogniser_their_hop() -> None:
    given, _ = service(JUDGED)
    await given.clips([ClipInput(None, 8_000, "好的")])
    asr: Any = given._handles.asr
    assert asr.clips.calls == 0
    await given.clips([ClipInput(None, 8_000, "好的"), ClipInput(None, 8_000)])
    assert asr.clips.calls == 1


async def test_what_nobody_waits_for_is_cancelled_in_all_deployments() -> None:
    waiting, judge = service(asyncio.Event())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting.call(Recording("a.wav", 0, b"")), 0.05)
    asr: Any = waiting._handles.asr
    assert [one.cancelled for one in judge.responses + asr.call.responses] == [True, True]


async def test_a_young_answer_says_which_model_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(deployed, "monotonic", lambda: now[0])
    swapped = ServedModel("persona", "4", ("red", "blue"), True, True, 8_000)
    given, judge = service(JUDGED)
    asked: Any = given._handles.judge.model
    assert await given.model() == MODEL
    asked.answers = [swapped]
    now[0] += 0.9
    await given.clips([ClipInput(None, 8_000, "好的")])
    now[0] += 0.9
    assert (await given.model(), asked.calls, judge.calls) == (MODEL, 1, 1)
    now[0] += 0.2
    assert (await given.model(), asked.calls) == (swapped, 2)


async def test_a_swap_asks_anew_which_model_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "_SWAP_STEP_S", 0.0)
    swapping, _ = service(Stale("heard for a model that reads otherwise"), JUDGED)
    asked: Any = swapping._handles.judge.model
    await swapping.call(Recording("a.wav", 0, b""))
    assert asked.calls == 2
