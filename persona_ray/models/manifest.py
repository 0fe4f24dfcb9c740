"""bundle.json and the files it lists: written, read and checked without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from persona_ray.errors import BundleError
from persona_ray.files import draft_folder, settle, sha256_file
from persona_ray.models.contract import Contract, Manifest, RankerContract

MANIFEST = "bundle.json"
# Suffixes of pickles: reading one runs whatever code it names.
PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})


def read_contract(path: Path) -> Contract:
    """The contract alone; raises BundleError."""
    return labelling(read_manifest(path), path)


def labelling(manifest: Manifest, path: Path) -> Contract:
    """The contract of a bundle that tells labels apart; raises BundleError for another kind."""
    contract = manifest.contract
    if not isinstance(contract, Contract):
        raise BundleError(f"bundle {path} ranks scripts and knows no labels: name another one")
    return contract


def ranking(manifest: Manifest, path: Path) -> RankerContract:
    """The contract of a bundle that ranks scripts; raises BundleError for another kind."""
    contract = manifest.contract
    if not isinstance(contract, RankerContract):
        raise BundleError(
            f"bundle {path} tells labels apart and ranks no scripts: train one that does with "
            "`persona-ray assist train-ranker`"
        )
    return contract


def read_manifest(path: Path) -> Manifest:
    """bundle.json of the folder `path`; raises BundleError."""
    try:
        return Manifest.model_validate_json(_manifest_bytes(path))
    except ValidationError as error:
        raise BundleError(f"{path / MANIFEST} is damaged: {first_error(error)}") from None


def verify(path: Path) -> Manifest:
    """The manifest of a bundle whose files are all there and as they were written.

    Raises BundleError for a folder that is damaged or was changed.
    """
    manifest = read_manifest(path)
    present = files_in(path)
    for name in present:
        if PurePosixPath(name).suffix in PICKLED:
            raise BundleError(f"bundle {path} holds '{name}': pickles are never loaded; remove it")
    missing = sorted(set(manifest.files) - set(present))
    if missing:
        raise BundleError(f"bundle {path} lacks '{missing[0]}': copy the whole folder again")
    # A stray file among the weights could change what transformers loads; beside them it may lie.
    stray = sorted(name for name in set(present) - set(manifest.files) if "/" in name)
    if stray:
        raise BundleError(f"bundle {path} holds '{stray[0]}' that it does not list: remove it")
    for name, expected in manifest.files.items():
        if sha256_file(path / name) != expected:
            raise BundleError(f"bundle {path}: '{name}' was changed or damaged (SHA-256 differs)")
    return manifest


@contextmanager
def new_bundle(path: Path, contract: Contract | RankerContract) -> Iterator[Path]:
    """Where the block writes the files of a bundle, which then is at `path`, whole or not at all;
    an older bundle there is replaced. Raises BundleError if `path` holds something else."""
    if (
        path.exists()
        and not (path / MANIFEST).is_file()
        and (path.is_file() or any(path.iterdir()))
    ):
        raise BundleError(f"{path} is there and is no bundle: it is not overwritten; name another")
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_folder(path) as building:
        yield building
        # safetensors makes files that only their owner reads; a server is often someone else.
        mode = building.stat().st_mode & 0o666
        names = files_in(building)
        for name in names:
            (building / name).chmod(mode)
        files = {name: sha256_file(building / name) for name in names}
        text = Manifest(contract=contract, files=files).model_dump_json(indent=1) + "\n"
        (building / MANIFEST).write_text(text, encoding="utf-8")


def digest(path: Path) -> str:
    """SHA-256 of bundle.json, which holds that of every other file: what the whole bundle is."""
    return hashlib.sha256(_manifest_bytes(path)).hexdigest()


def _manifest_bytes(path: Path) -> bytes:
    if not path.exists():
        # A process may have been killed while it replaced the bundle.
        settle(path)
    try:
        return (path / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} is no bundle: it has no {MANIFEST}") from None
    except OSError as error:
        raise BundleError(f"{path / MANIFEST} cannot be read: {error.strerror}") from None


def files_in(folder: Path) -> list[str]:
    """Names of all files in the bundle but the manifest, as bundle.json writes them."""
    return sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if not file.is_dir() and file != folder / MANIFEST
    )


def first_error(error: ValidationError) -> str:
    item = error.errors()[0]
    # Which kind of contract it was read as is told in brackets, and is no part of the file.
    where = ".".join(str(part) for part in item["loc"] if not str(part).startswith("<"))
    return f"{where}: {item['msg']}" if where else item["msg"]
