"""A store and a corpus of three clips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from persona_ray.store import Store, open_store
from tests.unit.annotation.corpus import SmallCorpus, info


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        yield opened


@pytest.fixture
def corpus() -> SmallCorpus:
    return SmallCorpus(
        [
            info("clip-a", start_s=1.0, end_s=4.0, text="=你们这个利率，到底怎么算的"),
            info("clip-b", start_s=5.0, end_s=8.0, text="好的好的\n那就按您说的办吧"),
            info("clip/c 三", call_id="call-2", start_s=0.0, end_s=2.0, text='他说"不行"，算了吧'),
        ]
    )
