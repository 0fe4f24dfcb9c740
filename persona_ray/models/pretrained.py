"""Loading parts of a Hugging Face folder or name, quietly and with one-line errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from persona_ray.errors import EncoderError
from persona_ray.models.hub import asking_hub

# Beside the files of an encoder that continued pretraining left.
PRETRAINING = "pretraining.json"


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
    """Turn what transformers raises into EncoderError; a folder that is not there is told at once.

    `tower` is speech or text, as in the configuration's model section. `path` may also be a file
    of the folder.
    """
    from safetensors import SafetensorError

    try:
        with quiet(), asking_hub(tower, path):
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        detail = " ".join(str(error).split())[:300] or type(error).__name__
        raise _unusable(tower, path, f"cannot be loaded: {detail}") from None


def check_left(tower: str, folder: Path) -> None:
    """Raises EncoderError where pretraining left an encoder in `folder` whose files are lost or cut
    short since: a look at their ends, that a job may begin with."""
    from safetensors import SafetensorError, safe_open

    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise _unusable(tower, str(folder), "has no weights (*.safetensors)")
    file = folder
    try:
        for file in sorted(folder.glob("*.json")):
            json.loads(file.read_text(encoding="utf-8"))
        for file in weights:
            with safe_open(file, framework="np"):
                pass
    except (OSError, ValueError, SafetensorError) as error:
        detail = " ".join(str(error).split())
        raise _unusable(tower, str(folder), f"has a broken {file.name}: {detail}") from None


def read_model(tower: str, path: str, may_lack: tuple[str, ...], kind: Any = None) -> Any:
    """The model in float32 with every weight from `path`; raises EncoderError.

    `kind`: the transformers class; None: what the folder's configuration stands for (AutoModel).
    transformers fills weights that a checkpoint lacks with random ones; that is only right for
    those whose names start with `may_lack`, which the towers do not use.
    """
    import torch
    from transformers import AutoModel

    kind = AutoModel if kind is None else kind
    model, info = kind.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(may_lack))
    if missing:
        what = f"lacks {len(missing)} weights of a {type(model).__name__} ('{missing[0]}', ...)"
        raise _unusable(tower, path, f"{what}: it is incomplete or another model")
    return model


def read_tokenizer(tower: str, path: str) -> Any:
    """Raises EncoderError for one that knows no words: transformers makes it, and says nothing,
    where a folder lacks tokenizer.json and vocab.txt."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise _unusable(
            tower, path, "has a tokenizer without a word: tokenizer.json or vocab.txt is missing"
        )
    return tokenizer


def _unusable(tower: str, path: str, why: str) -> EncoderError:
    """Of an encoder that pretraining left, the user may never have named the path."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if not (folder / PRETRAINING).is_file():
        return EncoderError(f"model.{tower}.path '{path}' {why}")
    return EncoderError(
        f"the {tower} encoder that pretraining left in '{folder}' is damaged, it {why}: make it "
        f"anew with `persona-ray pretrain {tower} --fresh`"
    )
