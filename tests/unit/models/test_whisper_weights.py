"""CTranslate2's file to a Hugging Face encoder, and what becomes of a damaged one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_ray.errors import EncoderError
from persona_ray.models.ctranslate2_format import read_arrays
from persona_ray.models.whisper_weights import encoder_of
from tests.unit.models.whispers import converted, model_bin, tiny_encoder, write_model_bin


def test_every_weight_finds_its_place(tmp_path: Path) -> None:
    original = tiny_encoder()
    again = encoder_of(write_model_bin(tmp_path / "model.bin", original))
    assert set(again.state_dict()) == set(original.state_dict())
    for name, value in original.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float()), name
    sizes = ("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim")
    for size in (*sizes, "num_mel_bins", "max_source_positions"):
        assert getattr(again.config, size) == getattr(original.config, size), size


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<i1", "<i2"])
def test_arrays_and_aliases_are_read_as_they_were_written(tmp_path: Path, dtype: str) -> None:
    wide, number = np.arange(-6, 6).reshape(3, 4).astype(dtype), np.asarray(7, dtype)
    file = tmp_path / "model.bin"
    file.write_bytes(model_bin({"a/wide": wide, "b": wide, "a/number": number}, {"a/too": "b"}))
    found = read_arrays(file, lambda name: name.startswith("a/") or name == "b")
    assert set(found) == {"a/wide", "b", "a/number", "a/too"}
    assert found["a/wide"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found["a/wide"], wide)
    np.testing.assert_array_equal(found["a/too"], wide)
    assert found["a/number"].shape == ()
    assert set(read_arrays(file, lambda name: name == "b")) == {"b"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_anywhere_is_an_error_that_names_it(tmp_path: Path, data: st.DataObject) -> None:
    whole = model_bin({"x": np.ones((2, 3), "<f4"), "y": np.ones(2, "<f2")}, {"z": "x"})
    file = tmp_path / "model.bin"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"model\.bin"):
        read_arrays(file, lambda _name: True)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    for damaged, message in (
        (b"\x05\0\0\0" + model_bin({})[4:], "version 5"),
        (model_bin({"x": np.ones(2, "<f4")}) + b"more", "4 bytes follow its end"),
        (model_bin({"x": np.ones(2, "<f4")}).replace(b"\x08\0\0\0", b"\x07\0\0\0"), "7 bytes"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            read_arrays(file, lambda _name: True)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    arrays = converted(tiny_encoder())
    file.write_bytes(model_bin(arrays | {"encoder/layer_0/gate": np.ones(2, "<f2")}))
    with pytest.raises(EncoderError, match="'encoder/layer_0/gate' is no part of a Whisper"):
        encoder_of(file)
    del arrays["encoder/layer_1/ffn/linear_0/bias"]
    file.write_bytes(model_bin(arrays))
    with pytest.raises(EncoderError, match=r"layers\.1\.fc1\.bias"):
        encoder_of(file)
    file.write_bytes(model_bin({"decoder/x": np.ones(2, "<f2")}))
    with pytest.raises(EncoderError, match="holds no Whisper encoder"):
        encoder_of(file)
