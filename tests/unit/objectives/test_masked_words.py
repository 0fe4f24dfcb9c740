"""What is hidden, and that the loss is transformers' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.objectives.masked_words import NO_PAIR, MaskedWords, choose_words, hide
from tests.unit.objectives.text_toys import checkpoint

WORDS = st.lists(st.integers(1, 5), min_size=1, max_size=30)


def starts_of(lengths: list[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    starts = np.zeros(sum(lengths), dtype=np.bool_)
    starts[np.cumsum([0, *lengths[:-1]])] = True
    return starts


@given(WORDS, st.data(), st.floats(0.01, 0.9), st.integers(0, 2**31))
def test_words_are_chosen_whole_and_about_as_many_as_wanted(
    lengths: list[int], data: st.DataObject, share: float, seed: int
) -> None:
    starts = starts_of(lengths)
    barred_words = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    barred = np.repeat(barred_words, lengths)
    chosen = choose_words(starts, barred, share, np.random.default_rng(seed))
    by_word = np.split(chosen, np.flatnonzero(starts)[1:])
    assert all(part.all() or not part.any() for part in by_word)
    assert not (chosen & barred).any()
    free = [length for length, bar in zip(lengths, barred_words, strict=True) if not bar]
    assert bool(chosen.any()) == bool(free)
    goal = min(share * len(starts), sum(free))
    assert chosen.sum() < goal + max(lengths)
    assert chosen.sum() > goal - max(lengths) or not free


def test_the_share_is_met_on_average_and_long_words_are_chosen_as_often_as_short_ones() -> None:
    lengths = [1, 2, 1, 4, 1, 2, 3, 1, 1, 2, 1, 1] * 2
    starts, times = starts_of(lengths), 4000
    counts = np.zeros(sum(lengths))
    for seed in range(times):
        rng = np.random.default_rng(seed)
        counts += choose_words(starts, np.zeros(sum(lengths), np.bool_), 0.15, rng)
    assert counts.mean() / times == pytest.approx(0.15, abs=0.004)
    by_word = counts[starts] / times
    for length in (1, 2, 3, 4):
        mean = by_word[np.array(lengths) == length].mean()
        assert mean == pytest.approx(0.15, abs=0.02), length


def test_eighty_ten_ten() -> None:
    rng = np.random.default_rng(5)
    tokens = rng.integers(10, 400, size=40_000).astype(np.int32)
    chosen = rng.random(len(tokens)) < 0.5
    hidden = hide(tokens, chosen, 4, np.arange(5, 400, dtype=np.int32), rng)
    np.testing.assert_array_equal(hidden[~chosen], tokens[~chosen])
    was, now = tokens[chosen], hidden[chosen]
    assert (now == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (now == was).mean() == pytest.approx(0.1, abs=0.01)
    other = now[(now != 4) & (now != was)]
    assert len(other) / len(now) == pytest.approx(0.1, abs=0.01)
    # Any word of the vocabulary, evenly.
    assert other.min() == 5
    assert other.max() == 399
    assert np.bincount(other // 40)[1:9].min() > 0.7 * len(other) / 10


def example() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Inputs of the wrapper, and the labels (batch, tokens) and pairs (batch,) of transformers."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(5, 40, (5, 20), generator=generator)
    valid = torch.arange(20) < torch.tensor([20, 7, 13, 20, 2])[:, None]
    labels = torch.randint(5, 40, (5, 20), generator=generator)
    asked = (torch.rand((5, 20), generator=generator) < 0.3) & valid
    labels[~asked] = NO_PAIR
    pairs = torch.tensor([0, 1, NO_PAIR, 1, NO_PAIR])
    inputs = {
        "input_ids": tokens,
        "attention_mask": valid.long(),
        "token_type_ids": (torch.arange(20) > 9).long().expand(5, 20).contiguous(),
        "positions": asked.flatten().nonzero()[:, 0],
        "targets": labels[asked],
        "pairs": pairs,
    }
    return inputs, labels, pairs


def given_to_transformers(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: t for n, t in inputs.items() if n not in ("positions", "targets", "pairs")}


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def test_masked_words_are_scored_as_transformers_does(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    folder = checkpoint(tmp_path, "BertForMaskedLM")
    inputs, labels, _ = example()
    count = len(inputs["targets"])
    reference = AutoModelForMaskedLM.from_pretrained(folder).eval()
    expected = reference(**given_to_transformers(inputs), labels=labels)
    (expected.loss * count).backward()
    module = MaskedWords(AutoModelForMaskedLM.from_pretrained(folder)).eval()
    found = module(inputs)
    found["masked.loss"].backward()
    torch.testing.assert_close(found["masked.loss"], expected.loss * count, rtol=1e-5, atol=1e-4)
    right = (expected.logits.argmax(-1) == labels).sum()
    assert found["masked.correct"] == right
    of_reference = gradients(reference)
    ours = {n.removeprefix("model."): g for n, g in gradients(module).items()}
    assert ours.keys() == of_reference.keys() == dict(reference.named_parameters()).keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, of_reference[name], rtol=1e-4, atol=1e-4)


def test_pairs_are_scored_as_transformers_does(tmp_path: Path) -> None:
    from transformers import AutoModelForPreTraining

    folder = checkpoint(tmp_path, "BertForPreTraining")
    inputs, labels, pairs = example()
    model = AutoModelForPreTraining.from_pretrained(folder)
    module = MaskedWords(model, next_sentence=True).eval()
    found = module(inputs)
    reference = AutoModelForPreTraining.from_pretrained(folder).eval()
    expected = reference(**given_to_transformers(inputs), labels=labels, next_sentence_label=pairs)
    mean = found["masked.loss"] / len(inputs["targets"]) + found["pairs.loss"] / 3
    torch.testing.assert_close(mean, expected.loss, rtol=1e-5, atol=1e-5)
    right = (expected.seq_relationship_logits.argmax(-1) == pairs).sum()
    assert found["pairs.correct"] == right
    (found["masked.loss"] + found["pairs.loss"]).backward()
    assert gradients(module).keys() == dict(module.named_parameters()).keys()


@pytest.mark.parametrize("next_sentence", [False, True])
def test_a_batch_without_a_target_still_reaches_every_parameter(
    tmp_path: Path, next_sentence: bool
) -> None:
    from transformers import AutoModelForMaskedLM, AutoModelForPreTraining

    kind = AutoModelForPreTraining if next_sentence else AutoModelForMaskedLM
    model = kind.from_pretrained(checkpoint(tmp_path, "BertForPreTraining"))
    module = MaskedWords(model, next_sentence)
    inputs, _, _ = example()
    for name in ("positions", "targets"):
        inputs[name] = inputs[name][:0]
    inputs["pairs"] = torch.full((5,), NO_PAIR)
    found = module(inputs)
    losses = [found[name] for name in found if name.endswith(".loss")]
    sum(losses, torch.zeros(())).backward()
    assert [loss.item() for loss in losses] == [0.0] * len(losses)
    trained = {n for n, p in module.named_parameters() if p.requires_grad}
    assert gradients(module).keys() == trained
    assert all((gradient == 0).all() for gradient in gradients(module).values())


def test_a_pooler_that_no_loss_depends_on_is_not_trained(tmp_path: Path) -> None:
    from transformers import AutoModelForPreTraining

    model = AutoModelForPreTraining.from_pretrained(checkpoint(tmp_path, "BertForPreTraining"))
    MaskedWords(model)
    held = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert held == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
