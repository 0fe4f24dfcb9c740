"""What Serve gives an application of a cluster: the `args` of its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError

_KNOWN = ("config", "set")


def configured(args: Mapping[str, Any], builder: str) -> RunConfig:
    """The configuration of `args`: `config` is a YAML file, `set` a list of KEY=VALUE. `builder`
    is who was given them. Raises ConfigError for other keys, and where no keys would be asked."""
    unknown = sorted(set(args) - set(_KNOWN))
    if unknown:
        raise ConfigError(
            f"args of {builder}: unknown key '{unknown[0]}': there are {', '.join(_KNOWN)}"
        )
    path = args.get("config")
    config = load_config(Path(path) if path else None, args.get("set") or ())
    if not config.serving.keys.required:
        raise ConfigError(
            "serving.keys.required=false is for `persona-ray serve` on one machine: who reaches a "
            "cluster's proxies is not known here; leave keys required"
        )
    return config
