"""A real Prometheus, with the rules that are shipped, for tests and pictures."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

WATCHING = Path(__file__).resolve().parents[1] / "infra" / "watching"
_READY_S = 20.0


class Prometheus:
    """One that runs at `address`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API."""
        answer = requests.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=10)
        tree = answer.json()
        assert tree["status"] == "success", f"{parameters}: {tree.get('error')}"
        return tree["data"]

    def value(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values of what an expression gives now."""
        found = self.ask("query", query=expression.replace("$__rate_interval", "1m"))["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]


def asked(folder: Path, name: str, port: int, key: str) -> dict[str, dict[str, Any]]:
    """Jobs for `prometheus`: the application `name` behind Serve's `port`, by a key, and the agent
    of the cluster's only node."""
    import ray

    (folder / "metrics.key").write_text(key)
    agent = ray.nodes()[0]
    exports = f"{agent['NodeManagerAddress']}:{agent['MetricsExportPort']}"
    return {
        "persona-ray": {
            "metrics_path": f"/{name}/metrics",
            "authorization": {"credentials_file": str(folder / "metrics.key")},
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        },
        "ray": {"static_configs": [{"targets": [exports]}]},
    }


@contextmanager
def prometheus(folder: Path, jobs: dict[str, dict[str, Any]]) -> Iterator[Prometheus]:
    """The shipped configuration, asking every second. `jobs`: what differs in its scrape jobs, by
    their names. Skips where no Prometheus is installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    config = yaml.safe_load((WATCHING / "prometheus.yaml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(WATCHING / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        job.pop("file_sd_configs", None)
        job |= jobs[job["job_name"]]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={listen}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(f"http://{listen}", folder / "prometheus.log")
        yield Prometheus(f"http://{listen}")
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(address: str, log: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        try:
            if requests.get(f"{address}/-/ready", timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError(f"Prometheus does not start: {log.read_text(errors='replace')[-500:]}")
