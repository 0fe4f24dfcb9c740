"""The service of assistance in this process, without Ray: the same application, models, routes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from persona_ray.apps.assist_models import LoadModels, choose_bundles
from persona_ray.serving.assist.models import PARTS, AskedModels
from persona_ray.serving.deploy.parts import InProcess
from persona_ray.watch.logs import only_errors

if TYPE_CHECKING:
    from persona_ray.config import RunConfig


@contextlib.contextmanager
def assist_here(config: RunConfig) -> Iterator[str]:
    """The address of the service on a free port of this machine, for as long as the block runs.

    Raises BundleError, EngineUnavailableError, LibraryError, LexiconError, ServiceError.
    """
    from persona_ray.apps.assist import make_app
    from persona_ray.serving.in_thread import served_in_thread

    held = LoadModels(choose_bundles(config))(config, PARTS)
    app = make_app(config, AskedModels(dict.fromkeys(PARTS, InProcess(held))), held.names)
    # Whoever runs it sees what the calls came to; the events are for operators.
    with only_errors(), served_in_thread(app) as address:
        yield address
