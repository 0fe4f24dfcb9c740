"""`planted` where namespaces are refused, as containers usually do, and no folder can be made."""

from __future__ import annotations

import tempfile

from persona_ray.audio import confinement
from tests.unit.audio import planted


def main(descriptor: int, memory_mb: int) -> None:
    vars(confinement)["_unshared"] = lambda _: False
    vars(tempfile)["mkdtemp"] = _refused
    planted.main(descriptor, memory_mb)


def _refused() -> str:
    raise FileNotFoundError("No usable temporary directory found")
