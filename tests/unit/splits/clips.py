"""Clips that say something."""

from __future__ import annotations

from persona_ray.types import ClipInfo


def clip(customer: str, number: int = 0, text: str = "") -> ClipInfo:
    return ClipInfo(
        clip_id=f"{customer}-{number}",
        call_id=f"call-{customer}",
        customer_id=customer,
        channel=0,
        start_s=float(number),
        end_s=number + 1.5,
        text=text or f"{customer} says {number}",
    )
