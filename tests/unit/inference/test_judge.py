"""The stages of the model, called apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from persona_ray.inference.clips import ClipInput
from persona_ray.inference.judge import Judge
from persona_ray.types import Modality, NothingUsable, Recognition
from tests.unit.inference.test_personality import clips
from tests.unit.models.test_bimodal import RATE_HZ, WAVES, small_model

if TYPE_CHECKING:
    from persona_ray.inference.judge import Vector

QUIET_DB = -60.0


@pytest.mark.parametrize("modality", list(Modality))
def test_stages_called_apart_give_what_they_give_together(modality: Modality) -> None:
    judge = Judge(small_model(modality), QUIET_DB)
    together = judge.judge(clips())
    speech, text = [], []
    for clip in clips():
        if judge.hears:
            speech += judge.speech_vectors([clip])
        if judge.reads:
            text += judge.text_vectors([clip.text or ""])
    for vectors in (speech, text):
        assert all(vector.dtype == np.float32 for vector in vectors)
    if judge.model.speech is not None:
        shape = (judge.model.speech.layers, judge.model.speech.features)
        assert {vector.shape for vector in speech} == {shape}
    for alone, found in zip(judge.probabilities(speech, text), together, strict=True):
        assert isinstance(found, Recognition)
        assert alone.probabilities == pytest.approx(found.probabilities, abs=1e-5)
        assert alone.primary == found.primary


def test_each_tower_says_what_it_cannot_use() -> None:
    judge = Judge(small_model(), QUIET_DB)
    silent = ClipInput(np.zeros(8_000, dtype=np.float32), RATE_HZ, "")
    assert (judge.unheard(silent), judge.unread(silent)) == ("silence", "no words")
    assert judge.judge([silent]) == [NothingUsable("silence")]
    assert Judge(small_model(Modality.TEXT), QUIET_DB).unheard(silent) is None
    assert Judge(small_model(Modality.SPEECH), QUIET_DB).unread(silent) is None
    assert judge.unusable(ClipInput(WAVES[0], RATE_HZ, "你好")) is None


def test_towers_that_are_not_there_have_no_vectors() -> None:
    with pytest.raises(ValueError, match="does not hear"):
        Judge(small_model(Modality.TEXT), QUIET_DB).speech_vectors([])
    with pytest.raises(ValueError, match="does not read"):
        Judge(small_model(Modality.SPEECH), QUIET_DB).text_vectors([])


@pytest.mark.parametrize(("device", "batches"), [("cpu", [2, 2, 1]), ("cuda", [5])])
def test_on_a_processor_clips_of_a_batch_are_of_like_length(
    device: str, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(small_model(), QUIET_DB)
    lengths_s = (0.5, 1.0, 0.51, 2.0, 1.04)
    sound = np.random.default_rng(0).normal(0, 0.1, 2 * RATE_HZ).astype(np.float32)
    asked = [ClipInput(sound[: round(RATE_HZ * one)], RATE_HZ, "你好") for one in lengths_s]
    seen: list[int] = []
    encode = judge.speech_vectors

    def counted(some: Sequence[ClipInput]) -> list[Vector]:
        seen.append(len(some))
        judge.device = "cpu"
        return encode(some)

    monkeypatch.setattr(judge, "speech_vectors", counted)
    alone = [judge.judge([clip])[0] for clip in asked]
    seen.clear()
    judge.device = device
    together = judge.judge(asked)
    assert seen == batches
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Recognition)
        assert isinstance(other, Recognition)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
