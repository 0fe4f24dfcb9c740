"""Loading parts of a Hugging Face folder or name, quietly and with one-line errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from persona_ray.errors import EncoderError


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars, and its tables of weights that are missing or left over,
    off the terminal: what is missing and matters is an error here."""
    from transformers.utils import logging

    # transformers has no other switches than these process-wide ones; they are put back.
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def reading_encoder(tower: str, path: str) -> Iterator[None]:
    """Turn what transformers raises into EncoderError.

    `tower` is speech or text, as in the configuration's model section.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        detail = " ".join(str(error).split())[:300]
        raise EncoderError(
            f"model.{tower}.path '{path}' cannot be loaded: {detail or type(error).__name__}"
        ) from None


def read_model(tower: str, path: str, may_lack: tuple[str, ...], kind: Any = None) -> Any:
    """The model in float32 with every weight from `path`; raises EncoderError.

    `kind`: the transformers class; None: what the folder's configuration stands for (AutoModel).
    transformers fills weights that a checkpoint lacks with random ones; that is only right for
    those whose names start with `may_lack`, which the towers do not use.
    """
    from transformers import AutoModel

    kind = AutoModel if kind is None else kind
    model, info = kind.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(may_lack))
    if missing:
        raise EncoderError(
            f"model.{tower}.path '{path}' lacks {len(missing)} weights of a "
            f"{type(model).__name__} ('{missing[0]}', ...): it is incomplete or another model"
        )
    return model
