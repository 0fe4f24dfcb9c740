"""`planted` where namespaces are refused, as containers usually do."""

from __future__ import annotations

from persona_ray.audio import confinement
from tests.unit.audio import planted


def main(descriptor: int, memory_mb: int) -> None:
    for step in ("_unshared", "_rooted"):
        setattr(confinement, step, lambda _: False)
    planted.main(descriptor, memory_mb)
