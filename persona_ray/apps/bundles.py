"""Which bundle is served, and where a replica finds it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.errors import BundleError
from persona_ray.files import draft_folder
from persona_ray.launch.versions.records import SCHEME, Alias, parse_reference
from persona_ray.models import manifest
from persona_ray.serving.deploy.stages import BundleChoice

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.launch.versions.records import Version


def choose_bundle(config: RunConfig, reference: str = "") -> BundleChoice:
    """The bundle of `reference`, else of serving.bundle, else the registry's champion, else the
    workspace's. An alias is resolved here, once for all replicas.

    Raises BundleError, RegistryError, TrackingError.
    """
    return _chosen(
        config,
        config.tracking.model,
        reference or config.serving.bundle,
        config.bundle_dir,
        f"nothing to serve: the registry has no champion and {config.bundle_dir} is no bundle; "
        "train one (`persona-ray run`), or name one: --set serving.bundle=FOLDER",
    )


def choose_category(config: RunConfig) -> BundleChoice:
    """The category model: of screening.bundle, else the registry's champion, else the workspace's.
    Raises as `choose_bundle` does."""
    from persona_ray.launch.category import BUNDLE, FOLDER

    name, folder = config.screening.category.name, config.workspace / FOLDER / BUNDLE
    return _chosen(
        config,
        name,
        config.screening.bundle,
        folder,
        f"no category model: the registry has no champion of '{name}' and {folder} is no "
        "bundle; train one (`persona-ray screening train`), or name one: --set "
        "screening.bundle=FOLDER",
    )


def choose_of_assist(
    config: RunConfig, model: str, reference: str, folder: Path
) -> BundleChoice | None:
    """A model of assistance: that of `reference`, else the champion of `model`, else the one in
    `folder`, else none: assistance goes on without. Raises as `choose_bundle` does."""
    if not reference and not folder.exists() and _champion(config, model) is None:
        return None
    return _chosen(config, model, reference, folder, f"no model {model}")


def _chosen(config: RunConfig, model: str, reference: str, folder: Path, none: str) -> BundleChoice:
    """That of `reference`, else the champion of `model`, else the one in `folder`. `none` says that
    there is none, and how to get one."""
    if reference.startswith(SCHEME):
        return _registered(config, _version(config, reference))
    if not reference:
        champion = _champion(config, model)
        if champion is not None:
            return _registered(config, champion)
        if not folder.exists():
            raise BundleError(none)
    folder = Path(reference or folder).absolute()
    manifest.verify(folder)
    digest = manifest.digest(folder)
    kept = _kept(config, folder, digest)
    return BundleChoice(str(folder), model, digest[:12], digest, str(kept))


def may_be_refused(config: RunConfig) -> bool:
    """Whether `choose_bundle` is to be waited for before anything costly begins: it reads a folder
    alone, or no good bundle lies in the workspace for the case that there is no champion."""
    from persona_ray.launch.tracking.runs import has_store

    if config.serving.bundle:
        return not config.serving.bundle.startswith(SCHEME)
    if not has_store(config):
        return True
    try:
        manifest.verify(config.bundle_dir)
    except BundleError:
        return True
    return False


def find_bundle(config: RunConfig, choice: BundleChoice) -> Path:
    """The folder of `choice` on this machine: where it lay if it is there, else as registered."""
    from persona_ray.launch.versions.registry import resolve_bundle

    for folder in (Path(choice.folder), Path(choice.reference)):
        if folder.is_dir() and manifest.digest(folder) == choice.digest:
            return folder
    if choice.reference.startswith(SCHEME):
        return resolve_bundle(config, choice.reference)
    raise BundleError(
        f"{choice.reference} is not on this machine, or holds another bundle than when the service "
        "was started: put it where every node sees it, or serve a registered version "
        "(models:/NAME/VERSION)"
    )


def _kept(config: RunConfig, folder: Path, digest: str) -> Path:
    """The same files beside the registry's copies, by their hash: the folder may be trained anew
    while replicas still have to load what is served."""
    kept = config.bundle_cache_dir / digest
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(kept) as draft:
            shutil.copytree(folder, draft, copy_function=_link, dirs_exist_ok=True)
    return kept


def _link(source: str, target: str) -> None:
    # Bundles are replaced by other files, never written over: a second name costs no space.
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _champion(config: RunConfig, model: str) -> Version | None:
    from persona_ray.launch.tracking.runs import has_store
    from persona_ray.launch.versions.registry import Registry

    if not has_store(config):
        return None
    return Registry.open(config, model).holder(Alias.CHAMPION)


def _version(config: RunConfig, reference: str) -> Version:
    from persona_ray.launch.versions.registry import Registry

    model, version = parse_reference(reference)
    return Registry.open(config, model).find(version)


def _registered(config: RunConfig, version: Version) -> BundleChoice:
    from persona_ray.launch.versions.registry import Registry

    folder = Registry.open(config, version.model).fetch(version)
    return BundleChoice(
        version.uri, version.model, str(version.number), version.digest, str(folder.absolute())
    )
