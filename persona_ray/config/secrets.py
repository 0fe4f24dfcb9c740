"""No secret stands in a configuration file: addresses name a variable of the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from persona_ray.errors import ConfigError

# scheme://user:password@host, as databases and fsspec read it; a password has no @ in it.
_PASSWORD = re.compile(r"([A-Za-z][\w+.-]*)://[^:/@\s]*:([^@\s]+)@")
_PARAMETER = re.compile(
    r"[?&;](password|passwd|pwd|token|secret|access_key|api_key|sslpassword|signature|sig)=([^&;#]+)",
    re.IGNORECASE,
)
_VARIABLES = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\})+")
# Of these no variable is read: their drivers have names of their own for it.
_ENVIRONMENTS = {
    "s3": "leave it out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    "http": "leave it out",
}
_ENVIRONMENTS["s3a"], _ENVIRONMENTS["https"] = _ENVIRONMENTS["s3"], _ENVIRONMENTS["http"]
_MLFLOW = (
    "leave it out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or "
    "MLFLOW_TRACKING_TOKEN) in the environment"
)


def refuse_secrets(tree: Mapping[str, Any]) -> None:
    """Raises ConfigError, naming the key and never the value, for an address that holds a password
    or a token as such and not as ${NAME}."""
    for key, text in _texts(tree, ""):
        for found in _PASSWORD.finditer(text):
            if _VARIABLES.fullmatch(found[2]) and found[1] not in _ENVIRONMENTS:
                continue
            fix = _ENVIRONMENTS.get(
                found[1],
                f"write ${{NAME}} in its place ({found[1]}://user:${{PASSWORD}}@host/...) and set "
                "the variable in the environment",
            )
            if key == "tracking.url" and found[1] in ("http", "https"):
                fix = _MLFLOW
            raise ConfigError(f"{key}: a password in an address: {fix}")
        for parameter in _PARAMETER.finditer(text) if "://" in text else ():
            if not _VARIABLES.fullmatch(parameter[2]):
                raise ConfigError(
                    f"{key}: '{parameter[1]}' in an address: write ${{NAME}} in its place and set "
                    "the variable in the environment"
                )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, below in value.items():
            yield from _texts(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for number, below in enumerate(value):
            yield from _texts(below, f"{key}[{number}]")
