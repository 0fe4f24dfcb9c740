"""Texts as they are compared, counted and stored."""

from __future__ import annotations

import unicodedata


def normalise(text: str) -> str:
    """Letters and digits alone: no punctuation, no spaces, no width, no case.

    >>> normalise("ＶＩＰ 客户，你好！")
    'vip客户你好'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LN")


def storable(text: str) -> str:
    """`text` with `?` for halves of surrogate pairs, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
