"""Notes that a report is drawn from: a damaged one is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from persona_ray.errors import TrainingError
from persona_ray.training.finetune.history import History
from persona_ray.training.pretrain.curve import read_curves


@pytest.mark.parametrize("read", [History.read, read_curves])
@pytest.mark.parametrize("text", ["{", "7", '[{"name": 1}]'])
def test_a_damaged_note_is_named(read: Callable[[Path], object], text: str, tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"note\.json is damaged"):
        read(path)
