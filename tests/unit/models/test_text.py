"""Text tower: [CLS] of the last hidden state, whatever stands beside it in the batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from persona_ray.config.learning import SmallTextConfig
from persona_ray.errors import EncoderError
from persona_ray.models.small import character_vocabulary, small_text_encoder
from persona_ray.models.text import TextEncoder

TEXTS = ["您好，我想问一下这个产品的收益", "好的", "这个产品OK吗？我12号再问一下，" * 9]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    made = small_text_encoder(SmallTextConfig(hidden_size=32, heads=2), TEXTS * 2, max_tokens=40)
    made.eval()
    return made


@torch.inference_mode()
def test_a_text_alone_and_in_a_batch_gives_the_same_vector(encoder: TextEncoder) -> None:
    together = encoder(encoder.tokenize(TEXTS))
    alone = torch.cat([encoder(encoder.tokenize([text])) for text in TEXTS])
    assert together.shape == (3, 32)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_it_is_transformers_last_hidden_state_of_cls(encoder: TextEncoder, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    encoder.save(tmp_path)
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS[0], return_tensors="pt")
    assert tokens.input_ids[0, 0] == encoder.tokenizer.cls_token_id
    expected = AutoModel.from_pretrained(tmp_path).eval()(**tokens).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder(encoder.tokenize(TEXTS[:1])), expected, rtol=0, atol=0)


def test_long_texts_are_cut_and_keep_their_end_mark(encoder: TextEncoder) -> None:
    row = encoder.tokenize([TEXTS[2]])["input_ids"][0].tolist()
    assert len(row) == 40
    assert (row[0], row[-1]) == (encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id)


def test_each_known_character_is_one_token(encoder: TextEncoder) -> None:
    tokens = encoder.tokenizer.tokenize("我想OK12号，龘")
    assert tokens == ["我", "想", "o", "##k", "##1", "##2", "号", "，", "[UNK]"]


def test_the_vocabulary_depends_on_counts_not_on_order() -> None:
    texts = ["甲乙乙丙丙丙", "丁丁 A"]
    vocabulary = character_vocabulary(texts)
    assert vocabulary == character_vocabulary(reversed(texts))
    assert "甲" not in vocabulary, "seen once"
    assert vocabulary["丙"] < vocabulary["丁"]
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def test_the_pooler_is_never_trained(encoder: TextEncoder) -> None:
    encoder.set_frozen(False)
    encoder(encoder.tokenize(TEXTS)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == name.startswith("model.pooler"), name


def test_more_tokens_than_the_encoder_has_places_is_an_error(tmp_path: Path) -> None:
    small_text_encoder(SmallTextConfig(hidden_size=16, layers=1), [], 64).save(tmp_path)
    with pytest.raises(EncoderError, match=r"max_tokens 300 > 128.*lower it to 128"):
        TextEncoder.load(str(tmp_path), 300)
