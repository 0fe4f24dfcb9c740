"""Where the encoders of a run come from, and what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from persona_ray.config import RunConfig
from persona_ray.config.learning import SpeechEncoderConfig, TextEncoderConfig
from persona_ray.errors import EncoderError
from persona_ray.types import Modality

Tower = Literal["speech", "text"]
TOWERS: tuple[Tower, ...] = ("speech", "text")


def pretrained(config: RunConfig) -> RunConfig:
    """`config` whose encoders are those that continued pretraining left, for each tower in
    `pretraining.encoders`; the others as the model section says, folders by absolute path.

    Raises EncoderError where pretraining has not been done, what it left is damaged, or a folder is
    not there.
    """
    from persona_ray.models.pretrained import check_left

    check_starts(config, set(fed(config)).difference(config.pretraining.encoders))
    model = config.model
    for tower in TOWERS:
        path = absolute(of_tower(config, tower).path)
        if tower in config.pretraining.encoders:
            folder = config.encoder_dir(tower).absolute()
            if not (folder / "config.json").is_file():
                raise EncoderError(
                    f"pretraining.encoders has {tower}, but {folder} holds no encoder: run "
                    f"`persona-ray pretrain {tower}` first, or take {tower} out of the list"
                )
            check_left(tower, folder)
            path = str(folder)
        part = of_tower(config, tower).model_copy(update={"path": path})
        model = model.model_copy(update={tower: part})
    return config.model_copy(update={"model": model})


def check_starts(config: RunConfig, towers: Iterable[Tower]) -> None:
    """Raises EncoderError where the model section names, for one of `towers`, a folder that is not
    there: before hours go into what comes first."""
    from persona_ray.models.hub import check_folder

    for tower in towers:
        check_folder(tower, of_tower(config, tower).path)


def fed(config: RunConfig) -> Sequence[Tower]:
    """The towers that the model has."""
    modality = config.model.modality
    return [tower for tower in TOWERS if modality in (Modality.BOTH, tower)]


def unpretrained(config: RunConfig) -> RunConfig:
    """`config` whose encoders are as the model section says: they know nothing of the archive.

    For whoever rotates customers through held-out folds. Continued pretraining reads customers of
    the train split, and a model that read the texts of those it is judged on looks far better than
    it is, labels or not (docs/decisions/0013-text-pretraining.md).
    """
    alone = config.pretraining.model_copy(update={"encoders": ()})
    return pretrained(config.model_copy(update={"pretraining": alone}))


def of_tower(config: RunConfig, tower: Tower) -> SpeechEncoderConfig | TextEncoderConfig:
    return config.model.speech if tower == "speech" else config.model.text


def absolute(path: str) -> str:
    """Folders by absolute path, since workers run in other folders; other names as they are."""
    return str(Path(path).absolute()) if path and Path(path).is_dir() else path


def content(path: str) -> str:
    """SHA-256 of a folder's files; of a name that is no folder, nothing but the name is known."""
    folder = Path(path)
    if not path or not folder.is_dir():
        return path
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
