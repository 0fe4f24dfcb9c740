"""From configuration to an application on Ray Serve: which deployments, how many, how bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import serve

from persona_ray.config.serving import Layout
from persona_ray.serving.deploy.deployments import (
    Asr,
    Classifier,
    Fused,
    SpeechEncoder,
    TextEncoder,
    Whole,
)
from persona_ray.serving.deploy.ingress import IngressDeployment
from persona_ray.serving.deploy.stages import CHALLENGER

if TYPE_CHECKING:
    from ray.serve import Application

    from persona_ray.config import RunConfig
    from persona_ray.config.serving import ScaleConfig
    from persona_ray.serving.deploy.ingress import MakeApp
    from persona_ray.serving.deploy.stages import BundleChoice, FindBundle

# Requests that a replica takes at once, for each that autoscaling aims at: room for a burst, and
# for batches, while another replica starts.
_BURST = 2
# The ingress only waits: its limits are those of the routes, answered in the routes' shape. While
# Serve's proxy routes a request it counts as queued: a short queue would refuse bursts.
INGRESS_ONGOING = 2000
_DRAIN_S = 60.0
# More than the interval in which Serve counts, 10 s.
_LOOK_BACK_S = 15.0
# By its checks alone Serve sees that a replica died: by default it would be missed for up to 10 s.
_HEALTH_S = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle to serve, and which towers it has."""

    choice: BundleChoice
    hears: bool
    reads: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """Binds the deployments of a configuration. `find` gives bundles to replicas. `version`:
    deployments that are run again with the same one keep their replicas, which are told another
    `user_config`; empty: all start anew."""

    config: RunConfig
    find: FindBundle
    version: str = ""

    def application(
        self,
        champion: Served,
        challenger: Served | None,
        make_app: MakeApp,
        follower: Application | None = None,
    ) -> Application:
        """All deployments, bound. Champion and challenger share the recognisers. `follower`: a
        deployment that runs beside them."""
        reads = champion.reads or (challenger is not None and challenger.reads)
        if self.config.serving.layout is Layout.WHOLE:
            asr = self._whole(champion, reads)
            nodes = {"whole": asr}
        else:
            scale = self.config.serving.asr
            asr = self._deployment(Asr, "asr", scale).bind(self.config, ongoing(scale), reads)
            nodes = self.models(champion)
        beside = {} if challenger is None else self.models(challenger, CHALLENGER)
        ingress = self._deployment(IngressDeployment, "ingress", self.config.serving.ingress)
        return ingress.options(max_ongoing_requests=INGRESS_ONGOING).bind(
            self.config, make_app, asr, nodes, beside, follower
        )

    def models(self, served: Served, prefix: str = "") -> dict[str, Application]:
        """The deployments that hold a bundle beside a recogniser, by the names that `Handles` has
        for them; `prefix` stands before their own names."""
        scales = self.config.serving
        if scales.layout is not Layout.SPLIT:
            wanted: dict[str, tuple[type, ScaleConfig]] = {"fused": (Fused, scales.speech)}
        else:
            wanted = {"classifier": (Classifier, scales.classifier)}
            if served.hears:
                wanted["speech"] = (SpeechEncoder, scales.speech)
            if served.reads:
                wanted["text"] = (TextEncoder, scales.text)
        return {
            name: self._deployment(kind, prefix + name, scale, served).bind(
                self.config, scale, self.find
            )
            for name, (kind, scale) in wanted.items()
        }

    def _whole(self, served: Served, reads: bool) -> Application:
        scale = self.config.serving.speech
        deployment = self._deployment(Whole, "whole", scale, served)
        return deployment.bind(self.config, scale, self.find, ongoing(scale), reads)

    def _deployment(
        self, kind: type, name: str, scale: ScaleConfig, served: Served | None = None
    ) -> Any:
        deployment = serve.deployment(kind)
        holds = {} if served is None else {"user_config": served.choice.to_dict()}
        return deployment.options(
            name=name, **deployment_options(self.config, scale, self.version), **holds
        )


def ongoing(scale: ScaleConfig) -> int:
    return max(2, math.ceil(_BURST * scale.ongoing_requests))


def deployment_options(config: RunConfig, scale: ScaleConfig, version: str) -> dict[str, Any]:
    # Where it is given none, `serve.run` makes one up: whatever changed, all replicas would go.
    kept: dict[str, Any] = {"version": version, "_internal": True} if version else {}
    return kept | {
        "max_ongoing_requests": ongoing(scale),
        "max_queued_requests": config.serving.limits.max_queued,
        "autoscaling_config": {
            "min_replicas": scale.min_replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": scale.ongoing_requests,
            "look_back_period_s": _LOOK_BACK_S,
            "upscale_delay_s": scale.upscale_delay_s,
            "downscale_delay_s": scale.downscale_delay_s,
        },
        "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        # New replicas stand before old ones go, and those end what they began.
        "max_surge_percent": 100,
        "health_check_period_s": _HEALTH_S,
        "graceful_shutdown_timeout_s": _DRAIN_S,
        "graceful_shutdown_wait_loop_s": 0.5,
    }
