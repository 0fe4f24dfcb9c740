"""Masked words as the pretraining loop asks for them, from texts to folders."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.corpus.texts import Dialogues
from persona_ray.errors import CorpusError, EncoderError, TrainingError
from persona_ray.models.text import TextEncoder
from persona_ray.objectives.base import MicroBatch
from persona_ray.objectives.masked_words import NO_PAIR
from persona_ray.objectives.text_runs import NamedTask, text_tasks
from persona_ray.objectives.text_task import TextTask
from tests.unit.objectives.text_toys import DIALOGUES, checkpoint, run_config, texts


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    return only(text_tasks(run_config(tmp_path_factory.mktemp("words")), DIALOGUES))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    config = run_config(tmp_path_factory.mktemp("pairs"), next_sentence=True)
    return only(text_tasks(config, DIALOGUES))


def only(tasks: Sequence[NamedTask]) -> TextTask:
    (named,) = tasks
    assert (named.name, named.message) == ("text", "")
    return named.task


def row(batch: MicroBatch, at: int) -> dict[str, list[int]]:
    """One item of a batch without its padding."""
    size = int(batch.inputs["attention_mask"][at].sum())
    width = batch.inputs["attention_mask"].shape[1]
    asked = batch.inputs["positions"] // width == at
    return {
        "tokens": batch.inputs["input_ids"][at, :size].tolist(),
        "types": batch.inputs["token_type_ids"][at, :size].tolist(),
        "positions": (batch.inputs["positions"][asked] % width).tolist(),
        "targets": batch.inputs["targets"][asked].tolist(),
        "pair": batch.inputs["pairs"][at].tolist() if "pairs" in batch.inputs else [],
    }


def unhidden(item: dict[str, list[int]]) -> list[int]:
    tokens = list(item["tokens"])
    for position, target in zip(item["positions"], item["targets"], strict=True):
        tokens[position] = target
    return tokens


@settings(deadline=None, max_examples=30)
@given(st.data(), st.integers(0, 50), st.booleans())
def test_an_item_is_the_same_in_whatever_batch_it_stands(
    words: TextTask, pairs: TextTask, data: st.DataObject, epoch: int, paired: bool
) -> None:
    task = pairs if paired else words
    positions = data.draw(
        st.lists(st.integers(0, len(task.sizes()) - 1), min_size=1, max_size=8, unique=True)
    )
    batch = task.batch(positions, epoch)
    for at, position in enumerate(positions):
        assert row(batch, at) == row(task.batch([position], epoch), 0)
    assert batch.counts["masked"] == len(batch.inputs["positions"])
    valid = batch.inputs["attention_mask"]
    assert (batch.size, batch.padded) == (int(valid.sum()), valid.numel())
    assert valid.shape[1] <= 24
    assert (batch.inputs["input_ids"][valid == 0] == task.special.pad).all()


def test_other_epochs_and_seeds_hide_other_words_of_the_same_text(words: TextTask) -> None:
    everything = range(len(words.sizes()))
    first, second = words.batch(everything, 0), words.batch(everything, 1)
    other = with_settings(words, seed=4).batch(everything, 0)
    for at in everything:
        assert unhidden(row(first, at)) == unhidden(row(second, at)) == unhidden(row(other, at))
    for batch in (second, other):
        differs = [row(first, n)["positions"] != row(batch, n)["positions"] for n in everything]
        assert sum(differs) > len(differs) / 2


def with_settings(task: TextTask, **changes: Any) -> TextTask:
    from dataclasses import replace

    return replace(task, settings=task.settings.model_copy(update=changes))


def test_segments_are_the_dialogues_in_order_packed_and_whole(words: TextTask) -> None:
    tokenizer = words.start.tokenizer()
    batch = words.batch(range(len(words.segments)), 0)
    found: dict[int, list[int]] = {}
    for at, dialogue in enumerate(words.segments.dialogues.tolist()):
        tokens = unhidden(row(batch, at))
        assert (tokens[0], tokens[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert len(tokens) == words.sizes()[at] <= 24
        found.setdefault(dialogue, []).extend(tokens[1:-1])
    expected = [tokenizer.encode(t, add_special_tokens=False) for t in map("".join, DIALOGUES)]
    assert list(found.values()) == expected
    # 喂？ and 打错了。 share a segment; one by one the sentences would be more.
    assert len(words.segments) < len(texts())


def test_what_is_hidden_is_the_wanted_share_of_characters(words: TextTask) -> None:
    everything = range(len(words.sizes()))
    hidden = [words.batch(everything, epoch).counts["masked"] for epoch in range(200)]
    characters = sum(words.sizes()) - 2 * len(everything)
    # At least one word each, and no unknown character: a little more than the share.
    assert 0.14 < np.mean(hidden) / characters < 0.18
    batch = words.batch(everything, 0)
    never = torch.tensor(sorted(words.special.never))
    assert not torch.isin(batch.inputs["targets"], never).any()


def test_pairs_are_neighbours_or_foreign_by_halves(pairs: TextTask) -> None:
    segments = pairs.segments
    by_text: dict[tuple[int, ...], set[int]] = {}
    for number in range(len(segments)):
        by_text.setdefault(tuple(segments.of(number)[0].tolist()), set()).add(number)
    everything, foreign, seen = range(len(pairs.sizes())), 0, 0
    for epoch in range(60):
        batch = pairs.batch(everything, epoch)
        labels = batch.inputs["pairs"].tolist()
        assert batch.counts["pairs"] == sum(label != NO_PAIR for label in labels)
        for at, label in enumerate(labels):
            item = row(batch, at)
            tokens, types = unhidden(item), item["types"]
            first, second = pairs._pairs[at]
            a = tokens[1 : types.index(1) - 1 if 1 in types else len(tokens) - 1]
            assert first in by_text[tuple(a)]
            if label == NO_PAIR:
                assert types == [0] * len(tokens)
                continue
            b = tuple(tokens[types.index(1) : -1])
            assert set(types[types.index(1) :]) == {1}
            seen, foreign = seen + 1, foreign + label
            if label == 0:
                assert second in by_text[b]
            else:
                dialogues = {int(segments.dialogues[n]) for n in by_text[b]}
                assert dialogues != {int(segments.dialogues[first])}
                assert len(b) <= segments.lengths[second]
    assert foreign / seen == pytest.approx(0.5, abs=0.06)


def test_every_segment_is_in_a_pair(pairs: TextTask) -> None:
    found = pairs.segments.pairs()
    paired = found[found[:, 1] >= 0]
    assert set(found[found >= 0].tolist()) == set(range(len(pairs.segments)))
    np.testing.assert_array_equal(paired[:, 0] + 1, paired[:, 1])
    dialogues = pairs.segments.dialogues
    np.testing.assert_array_equal(dialogues[paired[:, 0]], dialogues[paired[:, 1]])


def test_it_learns_and_leaves_the_random_state_alone(words: TextTask) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    task: TextTask = pickle.loads(pickle.dumps(words))
    module, again = task.build(), task.build()
    batch = task.batch(range(len(task.sizes())), 0)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    for (name, left), right in zip(module.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0, msg=name)
    assert task.fingerprint == words.fingerprint
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        found = module(batch.inputs)
        optimizer.zero_grad()
        (found["masked.loss"] / batch.counts["masked"]).backward()
        optimizer.step()
        losses.append(found["masked.loss"].item() / batch.counts["masked"])
    assert losses[0] == pytest.approx(np.log(task.special.vocabulary), rel=0.2)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("paired", [False, True])
def test_what_was_trained_loads_everywhere(
    words: TextTask, pairs: TextTask, tmp_path: Path, paired: bool
) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    task = pairs if paired else words
    module = task.build().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1)
    task.save(module, tmp_path)
    inputs = AutoTokenizer.from_pretrained(tmp_path)("我想问一下", return_tensors="pt")
    assert inputs.input_ids[0].tolist() == task.start.tokenizer().encode("我想问一下")
    with torch.inference_mode():
        whole = module.model(**inputs)
        logits = whole.prediction_logits if paired else whole.logits
        hidden = module.model.bert(**inputs).last_hidden_state
        masked = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()(**inputs).logits
        plain = AutoModel.from_pretrained(tmp_path).eval()(**inputs).last_hidden_state
        encoder = TextEncoder.load(str(tmp_path), 24).eval()
        vector = encoder(encoder.tokenize(["我想问一下"]))
    torch.testing.assert_close(masked, logits, rtol=0, atol=0)
    torch.testing.assert_close(plain, hidden, rtol=0, atol=0)
    torch.testing.assert_close(vector, hidden[:, 0], rtol=0, atol=0)


def test_only_its_own_module_is_saved(words: TextTask, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Linear is not the module"):
        words.save(torch.nn.Linear(1, 1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_with_its_head_goes_straight_on(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "whole", "BertForMaskedLM")
    task = only(text_tasks(run_config(tmp_path, str(folder)), DIALOGUES))
    built = task.build()
    assert built.model.config.hidden_size == 16
    assert task.only is None
    again = only(text_tasks(run_config(tmp_path, str(folder)), DIALOGUES))
    assert again.fingerprint == task.fingerprint
    other = checkpoint(tmp_path / "other", "BertForMaskedLM", layer_norm_eps=1e-5)
    for changed in (
        only(text_tasks(run_config(tmp_path, str(other)), DIALOGUES)),
        only(text_tasks(run_config(tmp_path, str(folder)), DIALOGUES[1:])),
        only(text_tasks(run_config(tmp_path, str(folder), mask_share=0.2), DIALOGUES)),
    ):
        assert changed.fingerprint != task.fingerprint


@pytest.mark.parametrize("next_sentence", [False, True])
def test_a_missing_head_is_trained_first_with_the_encoder_frozen(
    tmp_path: Path, next_sentence: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint(tmp_path / "headless", "BertModel")
    config = run_config(tmp_path, str(folder), head_epochs=2, epochs=9, next_sentence=next_sentence)
    head, main = text_tasks(config, DIALOGUES)
    assert f"'{folder}' has no masked-word head" in head.message
    assert "2 epochs with the encoder frozen" in head.message
    assert caplog.text == "", "transformers' own table is not shown"
    assert (head.settings.epochs, main.settings.epochs) == (2, 9)
    assert (head.name, main.name, main.message) == ("text head", "text", "")
    assert main.folder == config.encoder_dir("text") != head.folder
    module = head.task.build().train()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    batch = head.task.batch(range(4), 0)
    found = module(batch.inputs)
    total = sum((found[f"{term}.loss"] for term in head.task.weights), torch.zeros(()))
    assert found["masked.loss"].item() == module(batch.inputs)["masked.loss"].item(), "dropout"
    total.backward()
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert trained == {n for n, p in module.named_parameters() if p.grad is not None}
    heads = {"model.cls.predictions", "model.cls.seq_relationship"}
    assert {".".join(name.split(".")[:3]) for name in trained} <= heads
    assert "model.cls.predictions.transform.dense.weight" in trained
    optimizer = torch.optim.Adam((p for p in module.parameters() if p.requires_grad), 0.1)
    optimizer.step()
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in trained), name
    head.task.save(module, head.folder)
    # The second run starts from the folder of the first, with everything trained.
    after = main.task.build()
    for name, parameter in after.named_parameters():
        torch.testing.assert_close(parameter, dict(module.named_parameters())[name])
        assert parameter.requires_grad == (next_sentence or ".pooler." not in name)
    assert after.model.get_output_embeddings().weight is after.model.get_input_embeddings().weight
    assert len({head.task.fingerprint, main.task.fingerprint}) == 2


def test_a_new_head_may_be_trained_along(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "headless", "BertModel")
    (named,) = text_tasks(run_config(tmp_path, str(folder), head_epochs=0), DIALOGUES)
    assert "together with the encoder" in named.message
    assert named.task.only is None


def test_starts_that_cannot_be_used(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    folder = checkpoint(tmp_path / "headless", "BertModel")
    with pytest.raises(EncoderError, match=r"max_tokens 64 > 48.*lower it"):
        text_tasks(run_config(tmp_path, str(folder), max_tokens=64), DIALOGUES)
    with pytest.raises(EncoderError, match=r"max_tokens 6 has no room for two sentences"):
        text_tasks(run_config(tmp_path, max_tokens=6, next_sentence=True), DIALOGUES)
    with pytest.raises(EncoderError, match=r"'.*nowhere' cannot be loaded"):
        text_tasks(run_config(tmp_path, str(tmp_path / "nowhere")), DIALOGUES)
    distil = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    DistilBertForMaskedLM(DistilBertConfig(vocab_size=200, **distil)).save_pretrained(folder)
    with pytest.raises(EncoderError, match=r"'distilbert' .* have no next-sentence head"):
        text_tasks(run_config(tmp_path, str(folder), next_sentence=True), DIALOGUES)
    DistilBertForMaskedLM(DistilBertConfig(vocab_size=60, **distil)).save_pretrained(folder)
    with pytest.raises(EncoderError, match=r"tokens, its model 60: they belong to different"):
        text_tasks(run_config(tmp_path, str(folder)), DIALOGUES)


def test_no_text_and_too_few_dialogues(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no text to learn from: build a corpus, or name files"):
        text_tasks(run_config(tmp_path), [])
    with pytest.raises(CorpusError, match="at least two dialogues"):
        text_tasks(run_config(tmp_path, next_sentence=True), DIALOGUES[:1])


def test_other_families_than_bert(tmp_path: Path) -> None:
    """The head is reached through the model itself, whatever it is called there."""
    from transformers import AutoModelForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

    folder = checkpoint(tmp_path / "distil", "BertModel")
    torch.manual_seed(0)
    small = DistilBertConfig(vocab_size=200, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    DistilBertForMaskedLM(small).save_pretrained(folder)
    task = only(text_tasks(run_config(tmp_path, str(folder)), DIALOGUES))
    batch = task.batch(range(4), 0)
    plain = ("input_ids", "attention_mask")
    labels = torch.full_like(batch.inputs["input_ids"], -100)
    labels.view(-1)[batch.inputs["positions"]] = batch.inputs["targets"]
    reference = AutoModelForMaskedLM.from_pretrained(folder).eval()
    expected = reference(**{name: batch.inputs[name] for name in plain}, labels=labels).loss
    found = task.build().eval()(batch.inputs)["masked.loss"] / batch.counts["masked"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_real_dialogues_of_two_people(shared_data: Path, tmp_path: Path) -> None:
    """The first dialogues of a real file, from bytes to a batch: long turns are cut, not lost."""
    source = shared_data / "teleantifraud" / "dialogues.jsonl.gz"
    part = tmp_path / "part.jsonl"
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        rows = [next(lines) for _ in range(60)]
    part.write_text("".join(rows), encoding="utf-8")
    dialogues = Dialogues([str(part)])
    task = only(text_tasks(run_config(tmp_path, max_tokens=64), dialogues))
    said = sum(len("".join((*d["caller"], *d["callee"]))) for d in map(json.loads, rows))
    assert 0.95 * said < len(task.segments.tokens) <= said
    assert max(task.sizes()) <= 64
    # Packing: most of every segment is used.
    assert np.mean(task.sizes()) > 40
    assert task.batch(range(len(task.sizes())), 0).counts["masked"] > 0.14 * said
