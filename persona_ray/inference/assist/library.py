"""A library of scripts: read from YAML or CSV, checked, written again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.conversation import ScriptLibrary
from persona_ray.errors import LibraryError
from persona_ray.files import write_whole
from persona_ray.inference.assist.library_csv import read_csv, write_csv
from persona_ray.inference.assist.library_yaml import read_yaml, write_yaml
from persona_ray.inference.assist.script_checks import mistakes_of

if TYPE_CHECKING:
    from persona_ray.conversation import Script

SHIPPED = "scripts_zh.yaml"
_SHOWN = 20


def load_library(path: str, steps: Iterable[str]) -> ScriptLibrary:
    """The library of the file `path` (.yaml, .yml or .csv), or the shipped one where it is empty.

    `steps` are those of `assist.steps`: conditions may name no other. Raises LibraryError with
    every mistake and its place.
    """
    if not path:
        source = resources.files("persona_ray.inference.assist").joinpath(SHIPPED)
        return parse_library(source.read_bytes(), SHIPPED, steps)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LibraryError(
            f"script library {path} cannot be read: {error.strerror or error}"
        ) from None
    return parse_library(data, path, steps)


def parse_library(data: bytes, name: str, steps: Iterable[str]) -> ScriptLibrary:
    """The same for the bytes of a file; `name` says by its ending what it is. A CSV file is named
    and versioned by its name: `retail-7.csv` is version 7 of `retail`."""
    if name.lower().endswith(".csv"):
        title, version, placed, wrong = read_csv(data, name)
    elif name.lower().endswith((".yaml", ".yml")):
        title, version, placed, wrong = read_yaml(data, name)
    else:
        raise LibraryError(f"script library {name}: must be a .yaml or .csv file")
    found = [*wrong, *mistakes_of(placed, tuple(steps))]
    if found:
        more = len(found) - _SHOWN
        shown = [*found[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
        raise LibraryError(f"script library {name} has {count}:", tuple(shown))
    return make_library(title, version, (one.script for one in placed))


def make_library(name: str, version: str, scripts: Iterable[Script]) -> ScriptLibrary:
    """Of scripts that are right; the digest is that of the content, whatever their order."""
    by_id = {script.id: script for script in sorted(scripts, key=lambda script: script.id)}
    content = json.dumps([asdict(script) for script in by_id.values()], ensure_ascii=False)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return ScriptLibrary(name, version, by_id, digest)


def write_library(library: ScriptLibrary, path: Path) -> None:
    """As YAML or CSV, by the ending; whole or not at all. Raises LibraryError."""
    write_whole(path, library_bytes(library, path.suffix.lower()))


def library_bytes(library: ScriptLibrary, form: str) -> bytes:
    """`form`: `.yaml` or `.csv`, which `parse_library` reads back to the same library."""
    if form == ".csv":
        return write_csv(library)
    if form in (".yaml", ".yml"):
        return write_yaml(library)
    raise LibraryError(f"a script library is written as .yaml or .csv, not '{form}'")


def to_dict(library: ScriptLibrary) -> dict[str, Any]:
    """As the store keeps it; `from_dict` reads it."""
    return {
        "name": library.name,
        "version": library.version,
        "scripts": [asdict(script) for script in library.scripts.values()],
    }


def from_dict(content: Mapping[str, Any]) -> ScriptLibrary:
    """What `to_dict` made."""
    from pydantic import TypeAdapter

    from persona_ray.conversation import Script as KeptScript

    scripts = TypeAdapter(tuple[KeptScript, ...]).validate_python(content["scripts"])
    return make_library(content["name"], content["version"], scripts)
