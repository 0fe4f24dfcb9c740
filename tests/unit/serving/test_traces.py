"""Every hop of a request is a span of its trace, in every layout and of every application; so is
what a service sends by itself. Real deployments, without Ray: a hop is a task in an empty context.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from persona_ray.errors import ChannelError, NotAudioError
from persona_ray.inference.clips import ClipInput
from persona_ray.serving.assist.models import AskedModels as AssistModels
from persona_ray.serving.deploy.deployed import DeployedService, Handles
from persona_ray.serving.deploy.deployments import (
    Asr,
    Classifier,
    Fused,
    SpeechEncoder,
    TextEncoder,
    Whole,
)
from persona_ray.serving.deploy.parts import ByHandle, PartsReplica
from persona_ray.serving.screening.models import AskedModels as ScreeningModels
from persona_ray.store import Store
from persona_ray.watch import spans
from tests.collector import Collector, attributes, making_spans
from tests.unit.serving.screening.test_webhooks import Receiver, due, hooks
from tests.unit.serving.screening.test_webhooks import receive as receive
from tests.unit.serving.test_deployed import MODEL

pytestmark = pytest.mark.anyio


@pytest.fixture
def collector() -> Iterator[Collector]:
    with making_spans() as found:
        yield found


class Handle:
    """Of a deployment with one replica; as Serve does, it waits for responses that it is given."""

    def __init__(self, replica: object) -> None:
        self._replica = replica

    def __getattr__(self, name: str) -> Any:
        return _Remote(getattr(self._replica, name))


class _Remote:
    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def remote(self, *asked: Any, **named: Any) -> asyncio.Task[Any]:
        async def there() -> Any:
            ready = [await one if isinstance(one, asyncio.Task) else one for one in asked]
            return await self._method(*ready, **named)

        return asyncio.get_running_loop().create_task(there(), context=contextvars.Context())


class Deaf:
    """Stands for what a recogniser replica hears with."""

    def for_model(self, reads: bool) -> Deaf:
        del reads
        return self

    def clip(self, clip: ClipInput) -> ClipInput:
        del clip
        raise ChannelError("one channel")


def unloaded(kind: type) -> Any:
    """A replica that holds no model: it passes on what failed before it."""
    replica: Any = object.__new__(kind)
    if issubclass(kind, Asr):
        replica._hearing, replica._at_work = Deaf(), 0
        replica._hearers = ThreadPoolExecutor(1)
    return replica


@pytest.mark.parametrize(
    ("layout", "hops"),
    [
        ("whole", {"answering": "request", "hearing": "answering", "judging": "answering"}),
        ("fused", {"hearing": "request", "judging": "request"}),
        ("split", dict.fromkeys(("hearing", "speech", "text", "classifying"), "request")),
    ],
)
async def test_hops_of_every_layout_are_below_the_request(
    collector: Collector, layout: str, hops: dict[str, str]
) -> None:
    handles: dict[str, Any] = {
        "whole": lambda: {"whole": unloaded(Whole)},
        "fused": lambda: {"asr": unloaded(Asr), "fused": unloaded(Fused)},
        "split": lambda: {
            "asr": unloaded(Asr),
            "speech": unloaded(SpeechEncoder),
            "text": unloaded(TextEncoder),
            "classifier": unloaded(Classifier),
        },
    }[layout]()
    asked: dict[str, Any] = {name: Handle(replica) for name, replica in handles.items()}
    service = DeployedService(Handles(asked.pop("asr", asked.get("whole")), **asked))
    service._note(MODEL)
    with spans.work("request"), pytest.raises(ChannelError):
        await service.clips([ClipInput(None, 8_000, None)])
    found = {name: collector.named(name)[0] for name in ("request", *hops)}
    assert {one.trace_id for one in collector.spans} == {found["request"].trace_id}
    for name, above in hops.items():
        assert found[name].parent_span_id == found[above].span_id, name
    # Where it failed is seen there, by its kind alone.
    assert attributes(found["hearing"]) == {"error": "ChannelError"}
    assert "one channel" not in str(collector.spans)


class Part:
    """Of any application."""

    async def hear(self, *_: Any) -> str:
        return "heard"

    async def whose(self, *_: Any) -> str:
        raise NotAudioError("王小明")


async def test_hops_of_screening_and_assistance_are_below_the_call(collector: Collector) -> None:
    replica: Any = object.__new__(PartsReplica)
    replica._held = type("Held", (), {"parts": {"ears": Part(), "voices": Part()}})
    handle: Any = Handle(replica)
    asked: Any = ((), 8_000, ())
    with spans.work("call"):
        await AssistModels({"ears": ByHandle(handle)}).hear(*asked)
        with pytest.raises(NotAudioError):
            await ScreeningModels({"voices": ByHandle(handle)}).whose(*asked)
    (call,), (hear,), (whose,) = map(collector.named, ("call", "ears.hear", "voices.whose"))
    assert hear.parent_span_id == whose.parent_span_id == call.span_id
    assert attributes(hear) == {}
    assert attributes(whose) == {"error": "NotAudioError"}
    assert "王小明" not in str(collector.spans)


async def test_a_webhook_is_a_trace_that_its_receiver_may_go_on_with(
    collector: Collector, store: Store, receive: Callable[..., Receiver]
) -> None:
    receiver = receive(503, 204)
    due(store, receiver.url + "/hook?who=li")
    assert await hooks(store).send_next()
    (webhook,), (sent,) = collector.named("webhook"), collector.named("signed post")
    assert not webhook.parent_span_id
    assert attributes(webhook) == {"attempt": 1}
    assert sent.parent_span_id == webhook.span_id
    assert attributes(sent) == {"status": 503, "error": "503"}
    ((headers, _),) = receiver.got
    assert headers["traceparent"].startswith(f"00-{sent.trace_id.hex()}-{sent.span_id.hex()}-")
    assert receiver.url not in str(collector.spans)
