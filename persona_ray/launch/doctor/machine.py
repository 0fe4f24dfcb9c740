"""This machine: Python and packages, disk, ports, GPUs, the certificate."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.launch.doctor.finding import NotWellError, Outcome, not_applicable, warning
from persona_ray.vault import private_file

# Below it a step would end in the middle: a checkpoint of the large models takes 10 GB.
_LEAST_DISK, _LITTLE_DISK = 1e9, 20e9
# Ray keeps its objects there, 30 % of the memory by default.
_LEAST_SHM = 1e9
# As `persona-ray serve` and `ray start` open them, beside the service's own.
_RAYS_PORTS = {6379: "Ray's head", 8265: "Ray's dashboard"}
_EXPIRES = timedelta(days=21)
_SMI = (
    "nvidia-smi",
    "--query-gpu=name,driver_version,memory.total",
    "--format=csv,noheader,nounits",
)
_SMI_S = 15.0
_TORCH = "import torch; print(torch.cuda.device_count(), torch.version.cuda)"


def python(config: RunConfig) -> str:
    """The interpreter is the one that the dependencies are pinned for."""
    del config
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        raise NotWellError(f"Python {found}", "use Python 3.11: `make setup` makes its environment")
    return f"Python {found}"


def packages(config: RunConfig) -> str:
    """What is installed is what the lock names; without a lock, what the package asks for."""
    del config
    import persona_ray

    lock = Path(persona_ray.__file__).parent.parent / "requirements.lock"
    wanted = _locked(lock) if lock.is_file() else _asked()
    others = [
        f"{name} {there or 'missing'} (wanted {version})"
        for name, version, there in wanted
        if there != version
    ]
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise warning(shown, "install what is pinned: `make setup`, or the image of this release")
    return f"{len(wanted)} packages as pinned"


def disk(config: RunConfig) -> str:
    """Room where work is written, and in shared memory."""
    temporary = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    told, low = rooms(_there(config.workspace), Path("/dev/shm"), temporary)
    if low:
        raise next((one for one in low if one.outcome is Outcome.FAILED), low[0])
    return ", ".join(told)


def rooms(*folders: Path) -> tuple[list[str], list[NotWellError]]:
    """Free space of each, and what is too little."""
    told: list[str] = []
    low: list[NotWellError] = []
    for folder in folders:
        try:
            told.append(room(folder))
        except NotWellError as error:
            told.append(error.said)
            low.append(error)
    return told, low


def room(folder: Path) -> str:
    """Free space of a folder. Raises NotWellError where it is too little."""
    if not folder.is_dir():
        return f"{folder} is not there"
    free = shutil.disk_usage(folder).free
    said = f"{folder}: {free / 1e9:.1f} GB free"
    shared = folder == Path("/dev/shm")
    if free < (_LEAST_SHM if shared else _LEAST_DISK):
        fix = "give the container a larger /dev/shm" if shared else "free some, or name another"
        raise NotWellError(said, fix)
    if not shared and free < _LITTLE_DISK:
        raise warning(said, "enough for small models; large ones want 20 GB for checkpoints")
    return said


def ports(config: RunConfig) -> str:
    """Those that the service and a cluster of this machine would listen on."""
    taken = [
        f"{port} ({what})"
        for port, what in {config.serving.port: "serving.port", **_RAYS_PORTS}.items()
        if _listening(port)
    ]
    if taken:
        raise warning(
            f"taken on this machine: {', '.join(taken)}",
            "well if it is this product's service or cluster; else name other ports",
        )
    return f"{config.serving.port}, {', '.join(map(str, _RAYS_PORTS))} are free"


def gpus(config: RunConfig) -> str:
    """nvidia-smi and torch see the same."""
    wanted = config.launch.gpus_per_worker > 0 and not config.launch.address
    seen = smi()
    if not seen:
        if wanted:
            raise NotWellError(
                f"launch.gpus_per_worker is {config.launch.gpus_per_worker:g} and this machine "
                "shows no GPU (nvidia-smi)",
                "install the driver, or --set launch.gpus_per_worker=0",
            )
        raise not_applicable("no GPU on this machine (nvidia-smi)")
    environment = {**os.environ}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    asked = subprocess.run(
        [sys.executable, "-c", _TORCH],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    count, _, cuda = asked.stdout.strip().partition(" ")
    if count != str(len(seen)):
        raise NotWellError(
            f"nvidia-smi sees {len(seen)} GPUs, torch (CUDA {cuda or '?'}) {count or 'none'}",
            "update the driver to one that this CUDA runs on: nvidia-smi names both",
        )
    return f"{len(seen)} GPU(s), torch sees them (CUDA {cuda}): {seen[0]}"


def smi() -> list[str]:
    """Name, driver and memory of each GPU; none where there is no driver."""
    try:
        asked = subprocess.run(_SMI, capture_output=True, text=True, timeout=_SMI_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return asked.stdout.strip().splitlines() if asked.returncode == 0 else []


def tls(config: RunConfig) -> str:
    """The service's certificate: its key, and its end."""
    from cryptography import x509

    named = config.serving.tls.certificate
    if not named:
        raise not_applicable("serving.tls is not configured")
    try:
        found = x509.load_pem_x509_certificate(Path(named).read_bytes())
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "it is no certificate"
        raise NotWellError(
            f"serving.tls.certificate {named}: {said}", "name a PEM file that this user may read"
        ) from None
    _check_key(named, config.serving.tls.key)
    ends = found.not_valid_after_utc
    left = ends - datetime.now(UTC)
    said = f"the certificate ends {ends:%Y-%m-%d}"
    if left < timedelta(0):
        raise NotWellError(said, "renew it: clients refuse it already")
    if left < _EXPIRES:
        raise warning(f"{said}, in {left.days} days", "renew it")
    return said


def _check_key(certificate: str, key: str) -> None:
    """Raises NotWellError where it is not the certificate's, ConfigError where it cannot be read or
    others may read it."""
    private_file.read(Path(key))
    try:
        # With a password, so that nobody is asked for one.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        other = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        said = "is another certificate's key" if other else f"is no key in PEM: {error}"
        raise NotWellError(
            f"serving.tls.key {key} {said}",
            f"name the key that {certificate} was made with, without a password",
        ) from None


def _locked(lock: Path) -> list[tuple[str, str, str]]:
    """(name, version, installed version or nothing) of each package that has a line."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", lock.read_text("utf-8"), re.MULTILINE)
    return [(name, version, _installed(name)) for name, version in pins]


def _asked() -> list[tuple[str, str, str]]:
    """The same of what the package asks for: an installed one that fits stands for its version."""
    from packaging.requirements import Requirement

    found: list[tuple[str, str, str]] = []
    for text in importlib.metadata.requires("persona-ray") or ():
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            there = _installed(one.name)
            fits = bool(there) and one.specifier.contains(there, prereleases=True)
            found.append((one.name, there if fits else str(one.specifier), there))
    return found


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _there(path: Path) -> Path:
    """The nearest folder that is there."""
    absolute = path.absolute()
    return next(one for one in (absolute, *absolute.parents) if one.is_dir())


def _listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
