"""Both phases of fine-tuning give one history and one model on every engine, ZeRO stage and number
of workers, and go on from each other's checkpoints.

Two workers of one group, and one by itself. Without
dropout, which differs from rank to rank. Tolerance: sums in another order differ in the last bits,
and two dozen steps of Adam at a rate of 0.02 carry them on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from persona_ray.config.engine import EngineConfig
from persona_ray.training.finetune.history import History, Phase
from persona_ray.training.finetune.outcome import load_finetuned
from persona_ray.training.finetune.run import fit
from persona_ray.training.run_folder import RunFolder
from persona_ray.types import Split
from tests.unit.training.cases import context_of
from tests.unit.training.toys import Tones, examples, still, tiny_model, training_config
from tests.workers import Workers

TORCH = EngineConfig()
ZERO = tuple(EngineConfig(kind="deepspeed", zero_stage=stage) for stage in range(4))
# Two frozen epochs, then two with the encoders; blocks learn at rates of their own.
CONFIG = training_config(4, 2).model_copy(
    update={"layer_decay": 0.5, "batch_s": 4.0, "micro_batch_s": 2.0}
)
TRAIN, DEV = examples(23), examples(7, Split.DEV, first=60)


@dataclass(frozen=True)
class Case:
    """A run with `workers`: `stopped` after so many updates, or going on from the run `after`."""

    workers: int
    engine: EngineConfig
    stopped: int = 0
    after: str = ""

    @property
    def name(self) -> str:
        kind = f"{self.engine.kind}{self.engine.zero_stage}"
        blocks = "-blocks" if self.engine.activation_checkpointing else ""
        return f"{kind}{blocks}-{self.workers}-{self.stopped}-{self.after}"

    def run(self, root: Path, rank: int) -> None:
        context = context_of(
            root, self.name, rank, self.workers, after=self.after, stopped_after=self.stopped
        )
        model = still(tiny_model())
        history = fit(model, TRAIN, DEV, Tones(), CONFIG, context, engine=self.engine)
        if rank == 0:
            (root / f"{self.name}.json").write_text(json.dumps(history.as_json()))


REFERENCE = Case(1, TORCH)
# In the frozen epochs, and in those after.
EARLY, LATE = Case(1, TORCH, stopped=3), Case(2, ZERO[3], stopped=14)
ALONE = (Case(1, ZERO[0]), Case(1, ZERO[3]), Case(1, ZERO[2], after=EARLY.name))
TWO = (
    *(Case(2, engine) for engine in (TORCH, *ZERO)),
    Case(2, ZERO[2].model_copy(update={"activation_checkpointing": True})),
    *(Case(2, engine, after=EARLY.name) for engine in (TORCH, ZERO[3])),
    LATE,
    *(Case(2, engine, after=LATE.name) for engine in (TORCH, ZERO[1], ZERO[2])),
)
BACK_ALONE = Case(1, TORCH, after=LATE.name)


def carry_out(rank: int, root: Path, cases: Sequence[Case]) -> None:
    for case in cases:
        case.run(root, rank)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Path:
    folder = tmp_path_factory.mktemp("finetune-engines")
    torch.set_num_threads(1)
    for case in (REFERENCE, EARLY):
        case.run(folder, 0)
    workers.alone(carry_out, 0, folder, ALONE)
    workers.together(carry_out, folder, TWO)
    BACK_ALONE.run(folder, 0)
    return folder


def outcome(root: Path, case: Case) -> tuple[History, Mapping[str, Tensor]]:
    history = History.from_json(json.loads((root / f"{case.name}.json").read_text()))
    newest = RunFolder(root / case.name).newest()
    assert newest is not None
    model = tiny_model()
    load_finetuned(newest, model, CONFIG)
    return history, model.state_dict()


FINISHED = [case for case in (*ALONE, *TWO, BACK_ALONE) if not case.stopped]


@pytest.mark.parametrize("case", FINISHED, ids=lambda case: case.name)
def test_the_same_history_and_model(root: Path, case: Case) -> None:
    history, weights = outcome(root, case)
    expected, expected_weights = outcome(root, REFERENCE)
    assert [e.phase for e in history.epochs] == [Phase.FROZEN] * 2 + [Phase.FULL] * 2
    for mine, its in zip(history.epochs, expected.epochs, strict=True):
        assert mine.loss == pytest.approx(its.loss, abs=1e-4)
        assert mine.encoder_learning_rate == its.encoder_learning_rate
        assert mine.dev is not None
        assert its.dev is not None
        assert mine.dev.loss == pytest.approx(its.dev.loss, abs=1e-3)
    for name, tensor in weights.items():
        # Attention does not depend on the keys' bias: its gradient is rounding, which Adam blows
        # up to whole steps.
        if not name.endswith(("k_proj.bias", "key.bias")):
            torch.testing.assert_close(tensor, expected_weights[name], atol=2e-3, rtol=0, msg=name)


def test_a_run_that_is_asked_stops(root: Path) -> None:
    early, late = outcome(root, EARLY)[0], outcome(root, LATE)[0]
    assert not early.ended
    assert early.epochs == ()
    assert not late.ended
    # In the first epoch with the encoders.
    assert late.last.epoch == 2
