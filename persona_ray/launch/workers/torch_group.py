"""Workers of a training find each other at the addresses that Ray has for their nodes.

Gloo takes the address that a machine's own name resolves to. On many that is 127.0.1.1
(/etc/hosts), at which no other machine finds it. Imported where a training begins: it loads torch.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from ray.train.torch import TorchConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# https://docs.pytorch.org/docs/stable/distributed.html
_INTERFACE = "GLOO_SOCKET_IFNAME"
_Backend: Any = TorchConfig().backend_cls


@dataclass
class AtRaysAddresses(TorchConfig):  # type: ignore[misc]
    """`TorchConfig`, with Gloo on the network interface of the node's address."""

    @property
    def backend_cls(self) -> type[Any]:
        return _Told


class _Told(_Backend):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(_tell_gloo)
        super().on_start(worker_group, backend_config)


def _tell_gloo() -> None:
    """In a worker. What its node's environment says is left alone."""
    import ray

    name = interface_of(ray.util.get_node_ip_address(), psutil.net_if_addrs())
    if name:
        os.environ.setdefault(_INTERFACE, name)


def interface_of(address: str, interfaces: Mapping[str, Sequence[Any]]) -> str:
    """Name of the one of `interfaces` (as `psutil.net_if_addrs` gives them) that has the address;
    empty where none has: behind a translation of addresses."""
    families = (socket.AF_INET, socket.AF_INET6)
    for name, addresses in interfaces.items():
        # IPv6 addresses of a link have their interface behind a percent sign.
        known = [one.address.partition("%")[0] for one in addresses if one.family in families]
        if address in known:
            return name
    return ""
