"""Encoders by name: the Hugging Face hub is asked once, and never waited for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from persona_ray.errors import EncoderError

# A hub that takes longer to answer is none.
_ANSWER_S = 5.0
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def check_folder(tower: str, path: str) -> None:
    """Raises EncoderError for a path that is not there and cannot be a name on the hub either."""
    if not path or Path(path).is_dir():
        return
    if Path(path).is_file():
        raise EncoderError(f"model.{tower}.path '{path}' is a file: name the folder that it is in")
    if not _NAME.fullmatch(path):
        raise EncoderError(
            f"model.{tower}.path '{path}' cannot be loaded: there is no such folder: name one that "
            "holds a Hugging Face model (config.json, model.safetensors), or leave it empty for "
            "the small encoder"
        )


@contextmanager
def asking_hub(tower: str, path: str) -> Iterator[None]:
    """Inside the block transformers finds `path`: a folder, or a name that the hub, or its cache on
    this machine, has a model of.

    Raises EncoderError at once for a path that is not there, and where only a hub could help that
    does not answer: transformers itself would ask it for half a minute.
    """
    # A file of a folder is read, too.
    if Path(path).exists():
        yield
        return
    check_folder(tower, path)
    silent = _silence()
    if not silent:
        yield
        return
    if not _cached(path):
        raise EncoderError(
            f"model.{tower}.path '{path}' cannot be loaded: there is no such folder, and {silent}: "
            "name a folder that holds a Hugging Face model, or fetch it where the hub can be "
            f"reached (`hf download {path} --local-dir FOLDER`) and name that folder"
        )
    with _offline():
        yield


def _silence() -> str:
    """Why the hub cannot help; empty where it answers."""
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return "no model hub is asked for that name (HF_HUB_OFFLINE is set)"
    try:
        # By its own client: proxies and certificates are then the same. Any answer is one.
        get_session().head(constants.ENDPOINT, timeout=_ANSWER_S)
    except Exception as error:  # of whichever HTTP library the client is built on
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"no model hub could be reached for that name ({constants.ENDPOINT}: {reason})"
    return ""


def _cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


@contextmanager
def _offline() -> Iterator[None]:
    """What is in the cache is taken without a question to the hub."""
    from huggingface_hub import constants

    # The library has no other switch than this process-wide one; it is put back.
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
