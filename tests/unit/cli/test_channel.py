"""Whose channel a recording's is."""

from __future__ import annotations

import pytest

from persona_ray.cli.options import customer_channel
from persona_ray.errors import ConfigError


def test_mono_needs_no_channel() -> None:
    assert customer_channel("a.wav", 1, None) == 0


def test_of_two_channels_one_is_named() -> None:
    assert customer_channel("a.wav", 2, 1) == 1
    with pytest.raises(ConfigError, match=r"a\.wav has 2 channels.*--channel"):
        customer_channel("a.wav", 2, None)


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there(channel: int) -> None:
    with pytest.raises(ConfigError, match=f"2 channel.*--channel {channel} is not among them"):
        customer_channel("a.wav", 2, channel)
