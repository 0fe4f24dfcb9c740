"""A trained ranker as a bundle: bundle.json, text/ (the n-grams), towers.safetensors, and
lineage.parquet: the customers whose calls it learned from. Nothing in it is pickled."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError

from persona_ray.errors import BundleError, EncoderError
from persona_ray.models.contract import RankerContract
from persona_ray.models.grams import GramEncoder
from persona_ray.models.manifest import first_error, new_bundle, ranking, verify
from persona_ray.models.ranker.meaning import meaning_of
from persona_ray.models.ranker.network import TwoTowers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue
    from torch import Tensor

    from persona_ray.models.lineage import Lineage

WEIGHTS = "towers.safetensors"
_PACKAGES = ("persona-ray", "torch", "safetensors")


def ranker_contract(
    model: TwoTowers,
    calibration: tuple[float, float],
    data_fingerprint: str,
    metrics: Mapping[str, float],
    training: Mapping[str, JsonValue],
) -> RankerContract:
    """`calibration`: slope and offset of the log-odds that a script fits. Raises BundleError for a
    figure that is no number."""
    try:
        return RankerContract(
            kind="ranker",
            version=1,
            width=model.text.features,
            hidden=model.query.hidden.out_features,
            max_characters=model.text.max_tokens,
            meaning="" if model.meaning is None else model.meaning.name,
            query=model.query_columns,
            item=model.item_columns,
            slope=calibration[0],
            offset=calibration[1],
            packages={name: version(name) for name in _PACKAGES},
            data_fingerprint=data_fingerprint,
            metrics=dict(metrics),
            training=dict(training),
        )
    except ValidationError as error:
        raise BundleError(f"contract cannot be written: {first_error(error)}") from None


def save_ranker(model: TwoTowers, path: Path, contract: RankerContract, lineage: Lineage) -> None:
    """Whole or not at all; an older bundle at `path` is replaced. Raises BundleError."""
    from safetensors.torch import save_file

    with new_bundle(path, contract) as folder:
        model.text.save(folder / "text")
        weights = {name: value.contiguous() for name, value in _weights(model).items()}
        save_file(weights, folder / WEIGHTS)
        lineage.write(folder)


def load_ranker(path: Path, keep: bool = False) -> tuple[TwoTowers, RankerContract]:
    """On the CPU, in eval mode. `keep`: as `Meaning`. Raises BundleError for a folder that is
    damaged, was changed, or holds another kind of model."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    contract = ranking(verify(path), path)
    with torch.random.fork_rng(devices=[]):
        try:
            text = GramEncoder.load(path / "text", contract.max_characters)
        except EncoderError as error:
            raise BundleError(f"bundle {path}: {error}") from None
        meaning = meaning_of(contract.meaning, keep)
        model = TwoTowers(
            text, contract.query, contract.item, contract.hidden, temperature=1.0, meaning=meaning
        )
    try:
        found = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path / WEIGHTS} cannot be read: {error}") from None
    wanted = {name: tuple(value.shape) for name, value in _weights(model).items()}
    if {name: tuple(value.shape) for name, value in found.items()} != wanted:
        raise BundleError(f"{path / WEIGHTS} does not fit its contract: train again")
    model.load_state_dict(found, strict=False)
    return model.eval(), contract


def _weights(model: TwoTowers) -> dict[str, Tensor]:
    """All but the n-grams, which lie in a folder of their own."""
    return {
        name: value.detach().cpu()
        for name, value in model.state_dict().items()
        if not name.startswith("text.")
    }
