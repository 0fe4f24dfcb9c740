"""Encoders by name where there is no hub: said at once, or taken from the cache."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from persona_ray.config.learning import SmallTextConfig
from persona_ray.errors import EncoderError
from persona_ray.models.hub import asking_hub, check_folder
from persona_ray.models.load import load_speech_tower
from persona_ray.models.pretrained import PRETRAINING, check_left
from persona_ray.models.small import small_text_encoder
from persona_ray.models.text import TextEncoder

NOBODY = "http://127.0.0.1:9"
# transformers on its own asks for 27 s.
AT_ONCE_S = 8.0


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small text encoder as a folder."""
    torch.manual_seed(0)
    encoder = small_text_encoder(SmallTextConfig(hidden_size=16, heads=2), ["好的" * 3], 16)
    encoder.save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may ask the hub, and a hub that is not there."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)


class _Empty(BaseHTTPRequestHandler):
    """A hub without a model."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield url
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "a/b/c", "~/models", "../x"])
def test_a_path_is_no_name(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where nothing lies beside the folder.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(EncoderError, match=r"'.*' cannot be loaded: there is no such folder: "):
        check_folder("text", path)


def test_a_folder_a_name_and_nothing_pass(saved: Path) -> None:
    for path in (str(saved), "", "bert-base-chinese", "hfl/chinese-roberta-wwm-ext-large"):
        check_folder("text", path)
    with pytest.raises(EncoderError, match=r"config\.json' is a file: name the folder"):
        check_folder("text", str(saved / "config.json"))


def test_a_hub_that_may_not_be_asked_is_told() -> None:
    # The tests run with HF_HUB_OFFLINE.
    with pytest.raises(EncoderError) as caught:
        load_speech_tower("hfl/nosuch")
    said = str(caught.value)
    assert "model.speech.path 'hfl/nosuch' cannot be loaded: there is no such folder" in said
    assert "HF_HUB_OFFLINE is set" in said
    assert "hf download hfl/nosuch --local-dir FOLDER" in said


@pytest.mark.usefixtures("unreachable")
def test_a_hub_out_of_reach_is_told_without_another_try() -> None:
    before = time.monotonic()
    with pytest.raises(EncoderError, match="no model hub could be reached") as caught:
        TextEncoder.load("hfl/nosuch", 16)
    assert time.monotonic() - before < AT_ONCE_S
    assert NOBODY in str(caught.value)


@pytest.mark.usefixtures("unreachable")
def test_what_the_cache_has_is_loaded_without_the_hub(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = "0" * 40
    cache = tmp_path / "cache"
    model = cache / "models--hfl--saved"
    shutil.copytree(saved, model / "snapshots" / revision)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(revision)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(cache), raising=False)
    before = time.monotonic()
    encoder = TextEncoder.load("hfl/saved", 16)
    assert time.monotonic() - before < AT_ONCE_S
    assert encoder.features == 16
    assert constants.HF_HUB_OFFLINE is False


def test_a_hub_without_the_model_says_so_itself(empty_hub: str) -> None:
    del empty_hub
    with pytest.raises(EncoderError, match="hfl/nosuch is not a local folder and is not a valid"):
        TextEncoder.load("hfl/nosuch", 16)


def test_a_tokenizer_that_lost_its_words_is_none(saved: Path) -> None:
    (saved / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"model\.text\.path .* tokenizer without a word"):
        TextEncoder.load(str(saved), 16)


@pytest.mark.usefixtures("unreachable")
def test_the_hub_is_not_asked_for_a_folder(saved: Path) -> None:
    with asking_hub("text", str(saved)):
        assert constants.HF_HUB_OFFLINE is False
    assert TextEncoder.load(str(saved), 16).features == 16


@pytest.mark.parametrize("lost", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_encoder_of_pretraining_is_not_blamed_on_a_path(
    saved: Path, lost: str, cut: bool
) -> None:
    (saved / PRETRAINING).write_text("{}")
    check_left("text", saved)
    if cut:
        (saved / lost).write_bytes((saved / lost).read_bytes()[:100])
        with pytest.raises(EncoderError, match=f"damaged, it has a broken {lost}"):
            check_left("text", saved)
    else:
        (saved / lost).unlink()
    with pytest.raises(EncoderError) as caught:
        TextEncoder.load(str(saved), 16)
    assert str(caught.value).startswith(f"the text encoder that pretraining left in '{saved}' is")
    assert "`persona-ray pretrain text --fresh`" in str(caught.value)
    assert "model.text.path" not in str(caught.value)


def test_lost_weights_of_pretraining_are_seen_without_loading(saved: Path) -> None:
    (saved / PRETRAINING).write_text("{}")
    (saved / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="pretrain speech --fresh"):
        check_left("speech", saved)
