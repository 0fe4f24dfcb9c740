"""Word borders and what they make of tokens."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.errors import ConfigError
from persona_ray.models.small import character_tokenizer, character_vocabulary
from persona_ray.objectives.words import WordBorders, WordTokenizer
from tests.unit.objectives.text_toys import texts

BORDERS = WordBorders()
TOKENIZER = character_tokenizer(character_vocabulary(texts()), 48)
# Known and unknown characters, pieces of English words, accents, widths, spaces.
TEXTS = st.text(alphabet="我们的理财产品收益龘iphoneX12+#-.é５％ 　，。？😀", max_size=40)


def words_of(text: str, borders: WordBorders = BORDERS) -> list[list[str]]:
    ((tokens, starts),) = WordTokenizer(TOKENIZER, borders)([text])
    words: list[list[str]] = []
    for token, start in zip(TOKENIZER.convert_ids_to_tokens(tokens.tolist()), starts, strict=True):
        if start:
            words.append([])
        words[-1].append(token)
    return words


def test_a_word_of_several_characters_is_one_group() -> None:
    assert words_of("我想问一下这个理财产品的收益") == [
        ["我"],
        ["想"],
        ["问"],
        ["一", "下"],
        ["这", "个"],
        ["理", "财", "产", "品"],
        ["的"],
        ["收", "益"],
    ]


def test_pieces_of_an_english_word_stay_together() -> None:
    assert [len(word) for word in words_of("我的iphone12")] == [1, 1, 8]
    assert [len(word) for word in words_of("iphone-12")] == [6, 1, 2]


def test_business_terms_are_words(tmp_path: Path) -> None:
    dictionary = tmp_path / "terms.txt"
    dictionary.write_text("\ufeff服务协议第四条 n\n看明白 90000 v\n\n", encoding="utf-8")
    text = "服务协议第四条我没看明白"
    assert len(words_of(text)) > 4
    assert [len(w) for w in words_of(text, WordBorders(str(dictionary)))] == [7, 1, 1, 3]
    assert len(words_of(text)) > 4, "the dictionary is its own tokenizer's"


def test_user_dictionaries_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"user_dictionary '.*none' cannot be read"):
        WordBorders(str(tmp_path / "none"))
    (tmp_path / "gb").write_bytes("理财 3 n".encode("gb18030"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        WordBorders(str(tmp_path / "gb"))
    (tmp_path / "zero").write_text("好的\n理财 0 n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2: frequency 0"):
        WordBorders(str(tmp_path / "zero"))


def test_nothing_is_logged_or_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert WordBorders().cut("我来到北京清华大学") == ["我", "来到", "北京", "清华大学"]
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@settings(deadline=None)
@given(TEXTS)
def test_tokens_are_the_tokenizers_and_no_piece_begins_a_word(text: str) -> None:
    assert "".join(BORDERS.cut(text)) == text
    ((tokens, starts),) = WordTokenizer(TOKENIZER, BORDERS)([text])
    assert tokens.tolist() == TOKENIZER.encode(text, add_special_tokens=False)
    assert len(starts) == len(tokens)
    assert starts[:1].all()
    pieces = TOKENIZER.convert_ids_to_tokens(tokens.tolist())
    begun = [piece for piece, start in zip(pieces, starts, strict=True) if start]
    assert not any(piece.startswith("##") for piece in begun)


class WithoutOffsets:
    """A tokenizer as the slow ones are."""

    is_fast = False
    convert_ids_to_tokens = TOKENIZER.convert_ids_to_tokens

    def __len__(self) -> int:
        return len(TOKENIZER)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return list(TOKENIZER.encode(text, add_special_tokens=add_special_tokens))


@settings(deadline=None)
@given(st.text(alphabet="我们的理财产品收益，。？", max_size=30))
def test_without_offsets_the_words_are_the_same(text: str) -> None:
    ((tokens, starts),) = WordTokenizer(TOKENIZER, BORDERS)([text])
    ((slow_tokens, slow_starts),) = WordTokenizer(WithoutOffsets(), BORDERS)([text])
    assert slow_tokens.tolist() == tokens.tolist()
    assert slow_starts.tolist() == starts.tolist()
