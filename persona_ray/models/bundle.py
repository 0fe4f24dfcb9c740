"""The bundle: a folder that holds a trained model and its contract.

    bundle.json        contract and SHA-256 of every other file
    speech/            plain Hugging Face folder: AutoModel (of Whisper: WhisperEncoder),
                       AutoFeatureExtractor; published weights that a package brings are named
                       in weights.json instead of being stored
    text/              plain Hugging Face folder: AutoModel, AutoTokenizer; of n-grams: grams.json,
                       grams.safetensors
    head.safetensors   layer weights, standardisation, the fully connected layer
    lineage.parquet    the clips and customers it was trained on; older bundles have none
    reference.json     how these clips sound and are labelled, as shares; older bundles have none

Nothing in it is pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import JsonValue, ValidationError
from torch import Tensor

from persona_ray.errors import BundleError, EncoderError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.contract import (
    CONTRACT_VERSION,
    Contract,
    SpeechContract,
    TextContract,
)
from persona_ray.models.lineage import Lineage
from persona_ray.models.load import load_speech_tower, load_text_tower
from persona_ray.models.manifest import first_error, labelling, new_bundle, verify
from persona_ray.watch.reference import TrainingReference

HEAD = "head.safetensors"
PACKAGES = ("persona-ray", "torch", "transformers", "tokenizers", "safetensors")


def contract_of(
    model: BimodalModel,
    data_fingerprint: str,
    metrics: Mapping[str, float],
    training: Mapping[str, JsonValue],
) -> Contract:
    """The contract that `model` keeps; raises BundleError for a metric that is no number."""
    speech, text = model.speech, model.text
    try:
        return Contract(
            version=CONTRACT_VERSION,
            labels=model.labels,
            modality=model.modality,
            speech=None
            if speech is None
            else SpeechContract(
                sample_rate_hz=speech.sample_rate_hz,
                max_clip_s=model.max_clip_s,
                input=speech.hears,
                normalize=speech.normalize,
                layers=speech.layers,
                features=speech.features,
                pooling="mean",
                standardised=model.featurizer is not None and model.featurizer.standardises,
                published=speech.published,
            ),
            text=None
            if text is None
            else TextContract(
                max_tokens=text.max_tokens, features=text.features, pooling=text.pooling
            ),
            vector_norm="layer_norm",
            dropout=float(model.dropout.p),
            packages={name: version(name) for name in PACKAGES},
            data_fingerprint=data_fingerprint,
            metrics=dict(metrics),
            training=dict(training),
        )
    except ValidationError as error:
        raise BundleError(f"contract cannot be written: {first_error(error)}") from None


def save_bundle(
    model: BimodalModel,
    path: Path,
    contract: Contract,
    lineage: Lineage | None = None,
    reference: TrainingReference | None = None,
) -> None:
    """Write `model` to the folder `path`, whole or not at all; an older bundle there is replaced.

    `lineage` None: nobody knows whom it heard, and it will not be compared with others.
    `reference` None: no drift will be told against what it was trained on.
    Raises BundleError if `contract` is another model's, or `path` holds something else.
    """
    _check_fit(model, contract, path)
    with new_bundle(path, contract) as building:
        _write(model, building, lineage)
        if reference is not None:
            reference.write(building)


def load_bundle(path: Path) -> tuple[BimodalModel, Contract]:
    """The model (on the CPU, in eval mode) and its contract.

    Raises BundleError for a folder that is damaged, was changed, or does not keep its contract.
    """
    contract = labelling(verify(path), path)
    # Making modules draws random numbers; the caller's state is none of this function's.
    with torch.random.fork_rng(devices=[]):
        try:
            speech = text = None
            if contract.speech is not None:
                speech = load_speech_tower(str(path / "speech"))
            if contract.text is not None:
                text = load_text_tower(str(path / "text"), contract.text.max_tokens)
        except EncoderError as error:
            raise BundleError(f"bundle {path}: {error}") from None
        hears = contract.speech
        longest, standardise = (hears.max_clip_s, hears.standardised) if hears else (0.0, False)
        model = BimodalModel(speech, text, contract.labels, contract.dropout, longest, standardise)
    _check_fit(model, contract, path)
    _load_head(model, path)
    return model.eval(), contract


def head_state(model: BimodalModel) -> dict[str, Tensor]:
    """What head.safetensors holds, by name."""
    return {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith(("featurizer.", "classifier."))
    }


def _write(model: BimodalModel, folder: Path, lineage: Lineage | None) -> None:
    from safetensors.torch import save_file

    if model.speech is not None:
        model.speech.save(folder / "speech")
    if model.text is not None:
        model.text.save(folder / "text")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in head_state(model).items()}, folder / HEAD
    )
    if lineage is not None:
        lineage.write(folder)


def _check_fit(model: BimodalModel, contract: Contract, path: Path) -> None:
    actual = contract_of(model, contract.data_fingerprint, {}, {})
    for name in ("labels", "modality", "speech", "text", "dropout"):
        promised, found = getattr(contract, name), getattr(actual, name)
        if promised != found:
            raise BundleError(
                f"bundle {path}: the contract promises {name} {promised!s}, the model has {found!s}"
            )


def _load_head(model: BimodalModel, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path / HEAD)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path / HEAD} cannot be read: {error}") from None
    wanted = head_state(model)
    if set(found) != set(wanted):
        raise BundleError(f"{path / HEAD} holds {sorted(found)}, needed are {sorted(wanted)}")
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            raise BundleError(
                f"{path / HEAD}: '{name}' is {tuple(found[name].shape)}, the contract's labels and "
                f"layers need {tuple(value.shape)}"
            )
    model.load_state_dict(found, strict=False)
