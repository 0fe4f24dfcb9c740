"""The bundle: the same model comes back, or an error that names what is wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from persona_ray import files
from persona_ray.errors import BundleError
from persona_ray.models import manifest
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.bundle import contract_of, load_bundle, save_bundle
from persona_ray.models.collate import collate
from persona_ray.models.manifest import digest, read_contract
from persona_ray.types import Modality
from tests.unit.models.test_bimodal import LABELS, RATE_HZ, TEXTS, WAVES, small_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "bundle"
    model = small_model()
    save_bundle(model, path, contract_of(model, "corpus-1", {"loss": 0.5}, {"epochs": 3}))
    return path


@torch.inference_mode()
@pytest.mark.parametrize("modality", list(Modality))
def test_round_trip_bit_for_bit(modality: Modality, tmp_path: Path) -> None:
    model = small_model(modality)
    if model.featurizer is not None:
        model.featurizer.layer_weights.copy_(torch.tensor([1.0, -2.0, 0.5]))
    contract = contract_of(model, "corpus-1", {"loss": 0.25}, {"epochs": 3, "labels": None})
    save_bundle(model, tmp_path / "a" / "bundle", contract)
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    again, read = load_bundle(tmp_path / "a" / "bundle")
    assert torch.equal(torch.rand(2), expected), "loading draws random numbers"
    assert read == contract
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    batch = collate(TEXTS, WAVES, None, model, RATE_HZ)
    again_batch = collate(TEXTS, WAVES, None, again, RATE_HZ)
    assert torch.equal(model(batch), again(again_batch))


def test_others_can_load_its_parts(saved: Path) -> None:
    from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

    for part in ("speech", "text"):
        _, info = AutoModel.from_pretrained(saved / part, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
    assert AutoFeatureExtractor.from_pretrained(saved / "speech").sampling_rate == RATE_HZ
    assert AutoTokenizer.from_pretrained(saved / "text").tokenize("产品") == ["产", "品"]


def test_the_contract_says_what_the_model_is(saved: Path) -> None:
    contract = read_contract(saved)
    assert contract.labels == LABELS
    assert contract.speech is not None
    assert (contract.speech.sample_rate_hz, contract.speech.layers) == (RATE_HZ, 3)
    assert contract.speech.max_clip_s == 2.0
    assert contract.data_fingerprint == "corpus-1"
    assert contract.packages["torch"] == torch.__version__.split("+")[0]


@torch.inference_mode()
def test_what_standardises_vectors_comes_back(tmp_path: Path) -> None:
    plain = small_model()
    model = BimodalModel(plain.speech, plain.text, LABELS, 0.2, 2.0, standardise=True).eval()
    batch = collate(TEXTS, WAVES, None, model, RATE_HZ)
    before, pooled = model(batch), model.encode(batch).speech
    assert pooled is not None
    assert model.featurizer is not None
    model.featurizer.fit(pooled)
    assert not torch.allclose(model(batch), before, atol=1e-3)
    save_bundle(model, tmp_path / "bundle", contract_of(model, "", {}, {}))
    again, contract = load_bundle(tmp_path / "bundle")
    assert contract.speech is not None
    assert contract.speech.standardised
    assert torch.equal(again(batch), model(batch))


@torch.inference_mode()
def test_a_bundle_of_the_first_make_still_loads(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(saved, path)

    def as_first_made(contract: dict[str, Any]) -> None:
        for later in ("input", "standardised", "published"):
            del contract["speech"][later]

    change(path, as_first_made)
    old, new = load_bundle(path)[0], load_bundle(saved)[0]
    batch = collate(TEXTS, WAVES, None, new, RATE_HZ)
    assert torch.equal(old(batch), new(batch))


def remove_weights(path: Path) -> None:
    (path / "speech" / "model.safetensors").unlink()


def flip_a_bit(path: Path) -> None:
    data = bytearray((path / "text" / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "text" / "model.safetensors").write_bytes(data)


def add_a_pickle(path: Path) -> None:
    (path / "speech" / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def add_a_stray_file(path: Path) -> None:
    (path / "speech" / "model.safetensors.index.json").write_text("{}")


def tear_the_manifest(path: Path) -> None:
    text = (path / "bundle.json").read_text()
    (path / "bundle.json").write_text(text[: len(text) // 2])


def change(path: Path, change_contract: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((path / "bundle.json").read_text())
    change_contract(manifest["contract"])
    (path / "bundle.json").write_text(json.dumps(manifest))


def newer_version(path: Path) -> None:
    change(path, lambda contract: contract.update(version=2))


def unknown_key(path: Path) -> None:
    change(path, lambda contract: contract.update(colour="mauve"))


def a_label_more(path: Path) -> None:
    change(path, lambda contract: contract["labels"].append("purple"))


def other_layers(path: Path) -> None:
    change(path, lambda contract: contract["speech"].update(layers=24))


def other_rate(path: Path) -> None:
    change(path, lambda contract: contract["speech"].update(sample_rate_hz=16_000))


def a_tower_less(path: Path) -> None:
    change(path, lambda contract: contract.update(text=None))


def no_manifest(path: Path) -> None:
    (path / "bundle.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weights, "lacks 'speech/model.safetensors'"),
        (flip_a_bit, "'text/model.safetensors' was changed or damaged"),
        (add_a_pickle, "'speech/pytorch_model.bin': pickles are never loaded"),
        (add_a_stray_file, "'speech/model.safetensors.index.json' that it does not list"),
        (tear_the_manifest, "bundle.json is damaged"),
        (newer_version, "version: Input should be 1"),
        (unknown_key, "contract.colour: Extra inputs"),
        (a_label_more, "'classifier.weight' is (4, 48), the contract's labels and layers need"),
        (other_layers, "the contract promises speech"),
        (other_rate, "the contract promises speech"),
        (a_tower_less, "modality 'both' does not fit the towers"),
        (no_manifest, "is no bundle: it has no bundle.json"),
    ],
)
def test_damage_is_one_line_that_names_it(
    saved: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(saved, path)
    damage(path)
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_contract_of_another_model_is_refused(tmp_path: Path) -> None:
    model, other = small_model(), small_model(Modality.TEXT)
    with pytest.raises(BundleError, match="the contract promises modality text"):
        save_bundle(model, tmp_path / "bundle", contract_of(other, "", {}, {}))
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(BundleError, match=r"metrics\.loss"):
        contract_of(model, "", {"loss": float("nan")}, {})


def test_a_save_that_is_broken_off_leaves_the_old_bundle(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(saved, path)
    model = small_model(seed=8)

    def broken_off(_file: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "sha256_file", broken_off)
        with pytest.raises(KeyboardInterrupt):
            save_bundle(model, path, contract_of(model, "corpus-2", {}, {}))
    assert load_bundle(path)[1].data_fingerprint == "corpus-1"
    save_bundle(model, path, contract_of(model, "corpus-2", {}, {}))
    assert load_bundle(path)[1].data_fingerprint == "corpus-2"
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"], "nothing is left behind"


def save_and_be_killed(path: Path) -> None:
    """Where the file system cannot exchange two names, after the old bundle was moved away."""
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if target == path:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_exchange", lambda _one, _other: False)
        patch.setattr(Path, "rename", killed)
        model = small_model(seed=8)
        save_bundle(model, path, contract_of(model, "corpus-2", {}, {}))


def test_a_save_that_is_killed_leaves_the_old_bundle_and_the_next_one_cleans_up(
    saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(saved, path)
    writer = multiprocessing.get_context("spawn").Process(target=save_and_be_killed, args=(path,))
    writer.start()
    writer.join(120)
    assert writer.exitcode == -signal.SIGKILL
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 2, "the old bundle and the new one"
    assert digest(path) == digest(saved)
    assert load_bundle(path)[1].data_fingerprint == "corpus-1"
    model = small_model()
    save_bundle(model, path, contract_of(model, "corpus-3", {}, {}))
    assert load_bundle(path)[1].data_fingerprint == "corpus-3"
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_with_other_things_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    model = small_model(Modality.TEXT)
    with pytest.raises(BundleError, match="is no bundle: it is not overwritten"):
        save_bundle(model, tmp_path, contract_of(model, "", {}, {}))
    assert (tmp_path / "thesis.txt").exists()
