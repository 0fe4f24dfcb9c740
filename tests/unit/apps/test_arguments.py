"""What Serve gives the applications of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from persona_ray.apps import assist, personality, screening
from persona_ray.config import load_config
from persona_ray.errors import ConfigError

BUILDERS = {
    "personality": personality.build,
    "screening": screening.build,
    "assist": assist.build,
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_shipped_configuration_names_its_application(name: str, repository: Path) -> None:
    build: Callable[[dict[str, Any]], Any] = BUILDERS[name]
    shipped = yaml.safe_load((repository / "serve_configs" / f"{name}.yaml").read_text())
    from ray.serve.schema import ServeDeploySchema

    (application,) = ServeDeploySchema.model_validate(shipped).applications
    assert application.import_path == f"{build.__module__}:{build.__name__}"
    config = load_config(repository / application.args["config"], application.args["set"])
    assert shipped["http_options"]["port"] == config.serving.port
    assert shipped["http_options"]["host"] == config.serving.host
    with pytest.raises(ConfigError, match="unknown key 'bundle'"):
        build({"bundle": "somewhere"})
