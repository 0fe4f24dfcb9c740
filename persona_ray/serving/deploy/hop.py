"""A hop of a request between deployments: its span, and its errors as answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from persona_ray.errors import PersonaRayError
from persona_ray.serving.deploy.stages import Failed
from persona_ray.watch import spans

P = ParamSpec("P")
T = TypeVar("T")


def hop(
    name: str | Callable[[Any], str],
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T | Failed]]]:
    """A hop of a request (`spans.hop`) that gives what went wrong instead of raising it: Ray would
    wrap it."""

    def wrap(
        method: Callable[P, Coroutine[Any, Any, T]],
    ) -> Callable[P, Coroutine[Any, Any, T | Failed]]:
        # The span sees the error first.
        placed = spans.hop(name)(method)

        @functools.wraps(placed)
        async def given(*args: P.args, **named: P.kwargs) -> T | Failed:
            try:
                return await placed(*args, **named)
            except PersonaRayError as error:
                return Failed(error)

        return given

    return wrap
