"""The tower of n-grams: what is read, what it weighs, and that it is the same after saving."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from persona_ray.config.learning import GramsConfig
from persona_ray.errors import EncoderError
from persona_ray.models.grams import GRAMS, WEIGHTS, GramEncoder, gram_encoder, grams, lines_of
from persona_ray.models.load import load_text_tower

TEXTS = ["您好，快递到了。\n放门口吗", "您好，投资吗？\n高收益\n高回报", "快递到了\n放门口", "好的"]
CONFIG = GramsConfig(first=3, later=2, least=1, features=8, dropout=0.5)


@pytest.fixture
def tower() -> GramEncoder:
    torch.manual_seed(0)
    return gram_encoder(CONFIG, TEXTS, 64)


def test_lines_are_read_without_punctuation_and_cut() -> None:
    assert lines_of("您好，ＶＩＰ！\n\n……\n 再见 ", 100) == ["您好vip", "再见"]
    assert lines_of("一二三\n四五六", 4) == ["一二三", "四"]
    assert list(grams("好的", 2)) == ["^", "好", "的", "$", "^好", "好的", "的$"]


@torch.inference_mode()
def test_a_text_alone_and_in_a_batch_gives_the_same_vector(tower: GramEncoder) -> None:
    tower.eval()
    together = tower(tower.tokenize([*TEXTS, "", "ABC"]))
    alone = torch.cat([tower(tower.tokenize([text])) for text in [*TEXTS, "", "ABC"]])
    torch.testing.assert_close(together, alone)
    # Nothing known is nothing said.
    assert together[4].abs().sum() == 0
    assert together.shape == (6, 8)
    assert tower.features == 8


def test_weights_are_those_of_scikit_learn() -> None:
    """One-line texts and one field: TF-IDF as TfidfVectorizer makes it."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["快递到了快递", "投资有收益", "您的快递", "收益收益收益"]
    tower = gram_encoder(CONFIG, texts, 64)
    theirs = TfidfVectorizer(analyzer=lambda text: list(grams(text, 3)), sublinear_tf=True)
    expected = theirs.fit_transform(texts).toarray()
    tokens = tower.tokenize(texts)
    for row, ids, weights in zip(expected, tokens["input_ids"], tokens["weights"], strict=True):
        found = np.sort([weight for at, weight in zip(ids, weights, strict=True) if at])
        np.testing.assert_allclose(found, np.sort(row[row > 0]), rtol=1e-5)


def test_fields_have_n_grams_of_their_own_and_the_later_weigh_less(tower: GramEncoder) -> None:
    first = tower.tokenize(["快递"])
    later = tower.tokenize(["好的\n快递"])
    whole = dict(zip(later["input_ids"][0].tolist(), later["weights"][0].tolist(), strict=True))
    alone = dict(zip(first["input_ids"][0].tolist(), first["weights"][0].tolist(), strict=True))
    assert math.sqrt(sum(w * w for w in alone.values())) == pytest.approx(1, abs=1e-5)
    said_later = {
        at: w for at, w in whole.items() if at not in tower.tokenize(["好的"])["input_ids"]
    }
    assert not set(said_later) & set(alone)
    length = math.sqrt(sum(w * w for w in said_later.values()))
    assert length == pytest.approx(CONFIG.later_weight, abs=1e-5)


def test_n_grams_are_left_out_in_training_alone(tower: GramEncoder) -> None:
    tokens = tower.tokenize(TEXTS)
    assert not torch.equal(tower.train()(tokens), tower(tokens))
    assert torch.equal(tower.eval()(tokens), tower(tokens))
    tower.set_frozen(True)
    assert torch.equal(tower.train()(tokens), tower(tokens))


def test_a_line_said_in_many_texts_counts_once() -> None:
    """Prefixes of one dialogue begin alike: they must not make a name frequent."""
    config = GramsConfig(first=2, later=1, least=2)
    with pytest.raises(EncoderError, match="no n-gram stands in 2 different lines"):
        gram_encoder(config, ["甲乙", "甲乙\n丙", "甲乙\n丙\n丁"][:1] * 3, 64)
    known = gram_encoder(config, ["甲乙", "甲乙\n丙", "甲丁"], 64)
    assert set(known._known[0]) == {"^", "甲", "^甲", "$"}


def test_it_is_the_same_after_saving(tower: GramEncoder, tmp_path: Path) -> None:
    tower.save(tmp_path)
    again = load_text_tower(str(tmp_path), 64)
    assert isinstance(again, GramEncoder)
    assert again.fingerprint() == tower.fingerprint()
    tokens = again.tokenize(TEXTS)
    assert torch.equal(again.eval()(tokens), tower.eval()(tower.tokenize(TEXTS)))
    with torch.no_grad():
        again.model.weight[3] += 1
    assert again.fingerprint() != tower.fingerprint()


@pytest.mark.parametrize("damage", ["json", "weights", "form", "size"])
def test_a_damaged_folder_is_told(tower: GramEncoder, tmp_path: Path, damage: str) -> None:
    tower.save(tmp_path)
    if damage == "json":
        (tmp_path / GRAMS).write_text("{")
    elif damage == "weights":
        (tmp_path / WEIGHTS).write_bytes(b"nothing")
    elif damage == "form":
        text = (tmp_path / GRAMS).read_text(encoding="utf-8")
        (tmp_path / GRAMS).write_text(text.replace('"form": 1', '"form": 2'), encoding="utf-8")
    else:
        text = (tmp_path / GRAMS).read_text(encoding="utf-8")
        (tmp_path / GRAMS).write_text(text.replace('"好", ', "", 1), encoding="utf-8")
    with pytest.raises(EncoderError, match="holds no n-grams that can be read"):
        load_text_tower(str(tmp_path), 64)
