"""The files of the pages, read once: assets under an address that changes with them.

Assets may be kept by browsers for ever, since another release has other addresses; the HTML that
names them is asked for anew each time, and answered with 304 where it is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from jinja2 import Environment

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PagePlace:
    """A page's name, where it is served, its style sheets beside the common ones."""

    name: str
    path: str
    sheets: tuple[str, ...]


# By application: its pages in the order of their menu, the first one behind the brand.
MENUS: Mapping[str, tuple[PagePlace, ...]] = {
    "personality": (
        PagePlace("recognise", "/", ("recognise",)),
        PagePlace("annotate", "/annotate", ("annotate",)),
        PagePlace("models", "/models", ("models",)),
    ),
    "screening": (
        PagePlace("inbox", "/inbox", ("screening", "inbox")),
        PagePlace("libraries", "/libraries", ("screening",)),
        PagePlace("reports", "/reports", ("screening",)),
    ),
    "assist": (
        PagePlace("assist", "/assist", ("assist",)),
        PagePlace("scripts", "/scripts", ("screening", "scripts")),
    ),
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, and what it is."""

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Page:
    """The HTML of a page, and the tag by which it is known to be the same."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class PageFiles:
    """`digest` is of all assets; pages name them below /assets/`digest`/."""

    digest: str
    assets: Mapping[str, Asset]
    pages: Mapping[str, Page]


@cache
def page_files() -> PageFiles:
    """Of this release."""
    root = files("persona_ray.serving.pages")
    assets = dict(sorted(_below(root.joinpath("assets"), "")))
    digest = hashlib.sha256()
    for name, asset in assets.items():
        digest.update(f"{name}\0{len(asset.body)}\0".encode() + asset.body)
    version = digest.hexdigest()[:16]
    environment = _environment()
    pages = {}
    for menu in MENUS.values():
        for place in menu:
            html = environment.get_template(f"{place.name}.html.j2").render(
                assets=f"/assets/{version}", page=place.name, sheets=place.sheets, menu=menu
            )
            body = html.encode()
            pages[place.name] = Page(body, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return PageFiles(version, assets, pages)


def _below(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _below(entry, f"{name}/")
        elif (media_type := MEDIA_TYPES.get(name.rpartition(".")[2])) is not None:
            found.append((name, Asset(entry.read_bytes(), media_type)))
    return found


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("persona_ray.serving.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
