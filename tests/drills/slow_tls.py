"""A deployment on Ray Serve under `serving.tls`, until the standard input is closed."""

from __future__ import annotations

import os
import sys

from persona_ray.config import load_config
from persona_ray.serving.deploy.proxy import ENVIRONMENT
from persona_ray.serving.tls import http_options


class There:
    """Answers everybody whom the proxy lets in."""

    async def __call__(self) -> str:
        return "there"


def main(overrides: list[str]) -> None:
    os.environ.update(ENVIRONMENT)
    import ray
    from ray import serve

    serving = load_config(None, overrides).serving
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    options = {"host": serving.host, "port": serving.port, **http_options(serving.tls)}
    serve.start(proxy_location="HeadOnly", http_options=options)
    serve.run(serve.deployment(There).bind(), name="tls", route_prefix="/")
    print("ready", flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
