"""One curve and the same weights from every engine, ZeRO stage and number of workers.

Three processes do all of it: two workers of one group, and one by itself. DeepSpeed never enters
the process of the tests (it leaves a process group behind that cannot be made anew).

Tolerance: sums in float32 in another order differ in the last bits, and a dozen steps of Adam at a
rate of 0.01 carry them on. Losses of about 10 agree within 1e-5 of themselves, weights of about 1
within 1e-5. A micro-batch or rank that were counted wrongly moves either by 1e-2 and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from persona_ray.config.engine import EngineConfig
from persona_ray.errors import TrainingError
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import Curve, read_curves, write_curves
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.training.cases import context_of
from tests.unit.training.pretrain.toys import (
    SETTINGS,
    TOY,
    SpoiltTask,
    settings,
    unheard,
)
from tests.workers import Workers

TOLERANCE = 1e-5
STOPPED_AFTER = 5
TORCH = EngineConfig()
ZERO = tuple(EngineConfig(kind="deepspeed", zero_stage=stage) for stage in range(4))
# Updates of one item and of two portions: one of two workers has nothing of its own to do.
SMALL = settings(update_size=18.0, micro_size=9.0, epochs=1)


@dataclass(frozen=True)
class Case:
    """A run with `workers`, stopped early, or going on from where the run `after` was stopped."""

    workers: int
    engine: EngineConfig
    settings: PretrainSettings = SETTINGS
    stopped: bool = False
    after: str = ""

    @property
    def name(self) -> str:
        engine, small = self.engine, "small" if self.settings is SMALL else ""
        parts = [small, f"{engine.kind}{engine.zero_stage}", engine.precision, str(self.workers)]
        return "-".join([*parts, "stopped" if self.stopped else self.after])

    def run(self, root: Path, rank: int) -> None:
        stopped_after = STOPPED_AFTER if self.stopped else 0
        context = context_of(
            root, self.name, rank, self.workers, after=self.after, stopped_after=stopped_after
        )
        curve = pretrain(TOY, self.settings, self.engine, context, unheard)
        if rank == 0:
            write_curves((curve,), root / f"{self.name}.json")


def bf16(engine: EngineConfig) -> EngineConfig:
    return engine.model_copy(update={"precision": "bf16"})


ALONE_STOPPED = Case(1, TORCH, stopped=True)
TWO_STOPPED = Case(2, ZERO[3], stopped=True)
ALONE = (
    *(Case(1, engine) for engine in ZERO),
    *(Case(1, ZERO[stage], after=ALONE_STOPPED.name) for stage in (1, 3)),
)
TWO = (
    *(Case(2, engine) for engine in (TORCH, *ZERO)),
    *(Case(2, engine, SMALL) for engine in (TORCH, ZERO[1], ZERO[2], ZERO[3])),
    *(Case(2, engine, after=ALONE_STOPPED.name) for engine in (TORCH, *ZERO)),
    *(Case(2, bf16(engine)) for engine in (TORCH, ZERO[0], ZERO[2], ZERO[3])),
    TWO_STOPPED,
)
SPOILT = (TORCH, *ZERO)
BACK_ALONE = Case(1, TORCH, after=TWO_STOPPED.name)


def spoilt(root: Path, rank: int, engine: EngineConfig) -> None:
    """A run whose loss is infinite on one of the workers; its message goes to a file."""
    name = f"spoilt-{engine.kind}{engine.zero_stage}-{rank}"
    context = PlainContext(root / "spoilt", rank=rank, world_size=2, device=torch.device("cpu"))
    try:
        pretrain(SpoiltTask(), settings(micro_size=12.0), engine, context, unheard)
    except TrainingError as error:
        (root / name).write_text(str(error), encoding="utf-8")


def by_itself(root: Path) -> None:
    for case in ALONE:
        case.run(root, 0)


def as_one_of_two(rank: int, root: Path) -> None:
    for case in TWO:
        case.run(root, rank)
    for engine in SPOILT:
        spoilt(root, rank, engine)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    torch.set_num_threads(1)
    for case in (Case(1, TORCH), Case(1, TORCH, SMALL), Case(1, bf16(TORCH)), ALONE_STOPPED):
        case.run(folder, 0)
    workers.alone(by_itself, folder)
    workers.together(as_one_of_two, folder)
    BACK_ALONE.run(folder, 0)
    return folder


def outcome(root: Path, case: Case) -> tuple[Curve, dict[str, Tensor]]:
    newest = PlainContext(root / case.name).restore()
    assert newest is not None
    tensors = load_file(newest / "weights.safetensors") | load_file(newest / "moments.safetensors")
    return read_curves(root / f"{case.name}.json")[0], tensors


def assert_same(root: Path, case: Case, reference: Case, tolerance: float) -> None:
    curve, tensors = outcome(root, case)
    expected, expected_tensors = outcome(root, reference)
    assert curve.complete
    for point, wanted in zip(curve.points, expected.points, strict=True):
        assert point.update == wanted.update
        assert point.loss == pytest.approx(wanted.loss, rel=tolerance)
        assert point.terms == pytest.approx(dict(wanted.terms), rel=tolerance)
        assert point.gradient_norm == pytest.approx(wanted.gradient_norm, rel=10 * tolerance)
        assert point.accuracy == pytest.approx(dict(wanted.accuracy), abs=2000 * tolerance)
    assert tensors.keys() == expected_tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(
            tensor.float(), expected_tensors[name].float(), rtol=0, atol=tolerance, msg=name
        )


@pytest.mark.parametrize("case", [*ALONE, *TWO[:-5], BACK_ALONE], ids=lambda case: case.name)
def test_the_same_curve_and_weights(root: Path, case: Case) -> None:
    assert_same(root, case, Case(1, TORCH, case.settings), TOLERANCE)


@pytest.mark.parametrize("case", TWO[-5:-1], ids=lambda case: case.name)
def test_bf16_stays_close(root: Path, case: Case) -> None:
    """bf16 has 8 bits: products of micro-batches of another make differ in the third place."""
    assert_same(root, case, Case(1, bf16(TORCH)), 2e-2)


def test_one_worker_that_is_asked_stops_all(root: Path) -> None:
    curve, _ = outcome(root, TWO_STOPPED)
    assert not curve.complete
    assert curve.last.update == STOPPED_AFTER


@pytest.mark.parametrize("engine", SPOILT, ids=lambda engine: f"{engine.kind}{engine.zero_stage}")
def test_a_loss_that_is_no_number_is_the_same_error_on_all(
    root: Path, engine: EngineConfig
) -> None:
    first, second = (
        (root / f"spoilt-{engine.kind}{engine.zero_stage}-{rank}").read_text(encoding="utf-8")
        for rank in (0, 1)
    )
    assert "is not finite, items" in first
    assert first == second
