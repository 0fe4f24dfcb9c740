"""The screening service in this process, without Ray: the same application, models and routes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from persona_ray.apps.bundles import choose_category, find_bundle
from persona_ray.serving.deploy.parts import InProcess
from persona_ray.serving.screening.models import PARTS, AskedModels
from persona_ray.watch.logs import only_errors

if TYPE_CHECKING:
    from persona_ray.config import RunConfig


@contextlib.contextmanager
def screening_here(config: RunConfig) -> Iterator[str]:
    """The address of the service on a free port of this machine, for as long as the block runs.

    Raises BundleError, EngineUnavailableError, SynthesisError, ConfigError, ServiceError.
    """
    from persona_ray.apps.screening import make_app
    from persona_ray.apps.screening_models import load_models
    from persona_ray.serving.in_thread import served_in_thread

    category = choose_category(config)
    models = load_models(config, PARTS, find_bundle(config, category), category)
    asked = AskedModels(dict.fromkeys(PARTS, InProcess(models)))
    app = make_app(config, asked, models.names)
    # Whoever runs it sees what the calls came to; the events are for operators.
    with only_errors(), served_in_thread(app) as address:
        yield address
