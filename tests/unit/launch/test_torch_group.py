"""Gloo listens where Ray says that the node is."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from persona_ray.launch.workers.torch_group import interface_of

INTERFACES = {
    "lo": [SimpleNamespace(family=socket.AF_INET, address="127.0.0.1")],
    "eth1": [
        SimpleNamespace(family=socket.AF_INET, address="10.0.0.7"),
        SimpleNamespace(family=socket.AF_INET6, address="fe80::1%eth1"),
    ],
}


@pytest.mark.parametrize(
    ("address", "name"),
    [("10.0.0.7", "eth1"), ("127.0.0.1", "lo"), ("fe80::1", "eth1"), ("10.0.0.70", "")],
)
def test_the_interface_has_the_address(address: str, name: str) -> None:
    assert interface_of(address, INTERFACES) == name
