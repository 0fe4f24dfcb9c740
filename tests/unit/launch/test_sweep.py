"""What a sweep knows without a cluster: room, journal, ranks, what was given up, what it leaves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.config.sweep import SweepConfig
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.launch.sweep.job import sweep
from persona_ray.launch.sweep.journal import Kept, SweepJournal
from persona_ray.launch.sweep.plan import Fold, SweepPlan, encoder_key, prefix_key
from persona_ray.launch.sweep.result import write_results
from persona_ray.launch.sweep.room import room
from persona_ray.launch.sweep.scores import Row, ranked
from persona_ray.launch.sweep.state import SweepState
from persona_ray.launch.tracking.runs import OFF
from persona_ray.progress import SilentProgress
from persona_ray.training.finetune.history import Ended, EpochResult, History, Phase
from persona_ray.training.finetune.metrics import Scores
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Split
from tests.unit.training.toys import Tones, examples, model_config, training_config

TORCH = EngineConfig()
NODE = {"CPU": 16.0, "GPU": 2.0, "memory": 1e9}


@pytest.mark.parametrize(
    ("nodes", "launch", "sweep_says", "trials"),
    [
        # Two nodes of 16 processors: 4 a worker makes 8 workers, 2 of them a trial.
        ([NODE, NODE], {"workers": 2, "cpus_per_worker": 4}, {}, 4),
        ([NODE, NODE], {"workers": 2, "cpus_per_worker": 4}, {"max_concurrent": 3}, 3),
        # GPUs are scarcer than processors.
        ([NODE, NODE], {"workers": 2, "cpus_per_worker": 4, "gpus_per_worker": 1}, {}, 2),
        # A worker cannot lie on two nodes.
        ([NODE, NODE], {"workers": 2, "cpus_per_worker": 9}, {}, 1),
        # Every processor, none of them for the driver.
        ([NODE], {"workers": 2, "cpus_per_worker": 8, "gpus_per_worker": 1}, {}, 1),
        ([NODE, NODE], {}, {"cpus_per_trial": 2}, 16),
    ],
)
def test_trials_at_a_time(
    nodes: list[dict[str, float]], launch: dict[str, Any], sweep_says: dict[str, Any], trials: int
) -> None:
    assert room(nodes, LaunchConfig(**launch), TORCH, SweepConfig(**sweep_says)) == trials


@pytest.mark.parametrize(
    ("launch", "sweep_says", "said"),
    [
        (
            {"workers": 3, "cpus_per_worker": 4, "gpus_per_worker": 1},
            {},
            "needs 3 workers of 4 CPU and 1 GPU, and the cluster has room for 2 of them (1 node: "
            "16 CPU and 2 GPU): lower launch.workers",
        ),
        ({"workers": 1, "gpus_per_worker": 4}, {}, "no room for it"),
        ({}, {"cpus_per_trial": 32}, "needs 32 CPU, and the cluster has no room for it"),
    ],
)
def test_what_cannot_fit_is_said(
    launch: dict[str, Any], sweep_says: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        room([NODE], LaunchConfig(**launch), TORCH, SweepConfig(**sweep_says))
    assert said in str(caught.value)


def epoch(number: int, loss: float, accuracy: float = 0.5) -> EpochResult:
    dev = Scores(loss, accuracy, accuracy, accuracy, accuracy)
    return EpochResult(number, Phase.FROZEN, loss, 0.1, 0.0, dev, 2.0, 1.0)


def test_what_another_sweep_gave_up_is_not_known(tmp_path: Path) -> None:
    journal = SweepJournal(tmp_path / "runs")
    half = History((epoch(1, 0.5),))
    assert journal.read("a", "mine") is None
    journal.write("a", Kept(half, given_up_by="mine"))
    assert journal.read("a", "mine") == Kept(half, "mine")
    assert journal.read("a", "other") is None
    whole = Kept(History((epoch(1, 0.5),), Ended.EPOCHS))
    journal.write("a", whole)
    assert journal.read("a", "other") == whole
    # A torn file is trained again.
    (tmp_path / "runs" / "a.json").write_text('{"history": {"epo')
    assert journal.read("a", "mine") is None


def row(score: float, loss: float = 0.0, whole: bool = True, threshold: int = 1) -> Row:
    values = {"training.frozen_epochs": threshold, "training.decay_rate": 0.9}
    figures = {"clip_accuracy": 0.5, "customer_accuracy": 0.5, "loss": loss, "clip_macro_f1": 0.5}
    figures["customer_macro_f1"] = 0.5
    return Row(values, 1, score, None, figures, 3.0, 1.0, whole)


def test_ranks() -> None:
    rows = [row(0.4), row(0.9, 0.5), row(0.9, 0.2), row(0.1, whole=False), row(1.0, whole=False)]
    by_loss, by_accuracy = ranked(rows, "loss"), ranked(rows, "customer_accuracy")
    assert [r.score for r in by_loss] == [0.4, 0.9, 0.9, 0.1, 1.0]
    # Of equal scores the one with the smaller loss; what was given up comes last in any case.
    assert by_loss[1].figures["loss"] == 0.2
    assert [r.score for r in by_accuracy] == [0.9, 0.9, 0.4, 1.0, 0.1]


def made_plan(tmp_path: Path, **sweep_says: Any) -> SweepPlan:
    tree = RunConfig(workspace=tmp_path).model_dump(mode="json")
    tree["model"] = model_config().model_dump(mode="json")
    tree["training"] = training_config(3, 1).model_dump(mode="json")
    tree["sweep"] |= sweep_says
    folds = tuple(
        Fold(tuple(examples(12, first=12 * k)), tuple(examples(6, Split.DEV, first=60)))
        for k in range(2)
    )
    return SweepPlan(
        config=RunConfig.model_validate(tree),
        folds=folds,
        digests=tuple(fold.digest() for fold in folds),
        source=Tones(),
        data="data",
        encoders={},
        vectors=VectorCache(tmp_path / "vectors"),
    )


def test_keys_say_what_is_shared(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, seeds=[0, 1])

    def runs(**values: Any) -> dict[tuple[int, int], Any]:
        found = plan.runs({f"training.{name}": value for name, value in values.items()})
        return {(run.seed, run.fold): run for run in found}

    base = runs(decay_rate=0.9, frozen_epochs=1)
    threshold = runs(decay_rate=0.9, frozen_epochs=2)
    decay = runs(decay_rate=1.0, frozen_epochs=1)
    stop = runs(decay_rate=0.9, frozen_epochs=1, stop_loss=0.5)
    every = [*base.values(), *threshold.values(), *decay.values(), *stop.values()]
    assert len({run.key for run in every}) == len(every)
    assert [run.key for run in runs(decay_rate=0.9, frozen_epochs=1).values()] == [
        run.key for run in base.values()
    ]
    one = base[0, 0]

    def shares(other: Any) -> bool:
        return prefix_key(other, plan) == prefix_key(one, plan)

    assert shares(threshold[0, 0])
    assert shares(stop[0, 0])
    assert not any(map(shares, (decay[0, 0], base[1, 0], base[0, 1])))
    # These encoders are built: their weights come from the seed, the tokenizer from the texts.
    assert encoder_key(decay[0, 0]) == encoder_key(one)
    assert encoder_key(base[1, 0]) != encoder_key(one)
    assert encoder_key(base[0, 1]) != encoder_key(one)
    named = plan.config.model.model_copy(
        update={
            "speech": plan.config.model.speech.model_copy(update={"path": "a"}),
            "text": plan.config.model.text.model_copy(update={"path": "b"}),
        }
    )
    from dataclasses import replace

    known = {at: replace(run, model=named) for at, run in base.items()}
    assert len({encoder_key(run) for run in known.values()}) == 1


def state_of(plan: SweepPlan, chosen: list[dict[str, Any]] | None) -> SweepState:
    from persona_ray.config.space import space_of

    return SweepState(plan, space_of(plan.sweep, plan.config.training), chosen)


class NoTracker:
    run_id = ""

    def __init__(self) -> None:
        self.children: dict[str, Any] = {}

    def metrics(self, step: int, values: Any) -> None: ...

    def text(self, name: str, content: str) -> None: ...

    def child(self, name: str, parameters: Any, points: Any) -> None:
        self.children[name] = (parameters, points)


THREE = [
    {"training.frozen_epochs": threshold, "training.decay_rate": 0.9} for threshold in (1, 2, 3)
]


def test_runs_that_end_and_runs_that_are_given_up(tmp_path: Path) -> None:
    plan, tracker = made_plan(tmp_path), NoTracker()
    state = state_of(plan, THREE)
    assert not state.enough(tracker)
    first, second, third = state.trials
    losses = {0: (0.9, 0.5, 0.4), 1: (0.8, 0.6, 0.6)}
    for fold, its in losses.items():
        for number, loss in enumerate(its, start=1):
            state.told(first.values, first.runs[fold].key, [epoch(number, loss)])
    assert state.is_over(first)
    ended = state.histories[first.runs[0].key].ended
    assert ended == Ended.EPOCHS
    state.over(first.values)
    # Two epochs, then the scheduler gives up; the fold after it is never asked for.
    state.told(second.values, second.runs[0].key, [epoch(1, 0.95), epoch(2, 0.94)])
    state.over(second.values)
    assert state.is_over(second)
    assert not state.is_over(third)
    best, other = state.result().rows
    assert (best.values, best.score, best.runs, best.whole) == (THREE[0], 0.5, 2, True)
    assert best.spread == pytest.approx(0.1414, abs=1e-4)
    assert (other.values, other.score, other.epochs, other.whole) == (THREE[1], 0.94, 2.0, False)
    parameters, points = tracker.children["training.frozen_epochs=1, training.decay_rate=0.9"]
    assert parameters == {"training.frozen_epochs": "1", "training.decay_rate": "0.9"}
    assert [point["dev_loss"] for point in points] == pytest.approx([0.85, 0.55, 0.5])
    assert points[-1]["score"] == pytest.approx(0.5)
    # After a kill: both are known, and the third is not.
    again = state_of(plan, THREE)
    assert not again.enough(NoTracker())
    assert again.result().rows == state.result().rows
    assert (again.result().found, again.result().trained) == (3, 0)
    # Another search of the same space believes whole runs alone.
    elsewhere = state_of(made_plan(tmp_path, scheduler="asha"), THREE)
    elsewhere.enough(NoTracker())
    assert [r.values for r in elsewhere.result().rows] == [THREE[0]]
    state.forget()
    assert state_of(plan, THREE).enough(NoTracker()) is False
    assert not list((tmp_path / "sweep" / "runs").iterdir())


def test_a_stop_rule_ends_a_run_early_and_whole(tmp_path: Path) -> None:
    values = {**THREE[0], "training.stop_loss": 0.7}
    state = state_of(made_plan(tmp_path), [values])
    state.enough(NoTracker())
    (trial,) = state.trials
    for run in trial.runs:
        state.told(trial.values, run.key, [epoch(1, 0.9), epoch(2, 0.6)])
    assert {history.ended for history in state.histories.values()} == {Ended.LOSS}
    assert state.result().rows[0].whole


def test_what_was_chosen_is_found_again(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, search="optuna", samples=2)
    state = state_of(plan, None)
    state.enough(NoTracker())
    for values in THREE[:2]:
        for run in plan.runs(values)[: 2 if values is THREE[0] else 1]:
            state.told(values, run.key, [epoch(number, 0.5) for number in (1, 2, 3)])
    # The second was killed between its folds.
    again = state_of(plan, None)
    assert not again.enough(NoTracker())
    assert [trial.values for trial in again.trials] == [THREE[0]]
    for run in plan.runs(THREE[2]):
        again.told(THREE[2], run.key, [epoch(number, 0.4) for number in (1, 2, 3)])
    assert state_of(plan, None).enough(NoTracker())
    # More samples go on with those.
    more = state_of(made_plan(tmp_path, search="optuna", samples=5), None)
    assert not more.enough(NoTracker())
    assert len(more.trials) == 2


def test_what_a_sweep_leaves(tmp_path: Path) -> None:
    state = state_of(made_plan(tmp_path), THREE)
    state.enough(NoTracker())
    for trial in state.trials[:2]:
        for run in trial.runs:
            loss = 0.5 + 0.1 * trial.values["training.frozen_epochs"]
            state.told(trial.values, run.key, [epoch(n, loss) for n in (1, 2, 3)])
    state.told(THREE[2], state.trials[2].runs[0].key, [epoch(1, 0.3)])
    state.over(THREE[2])
    result = state.result()
    config = state.plan.config
    texts = write_results(config, result, list(state.space))
    assert set(texts) == {"sweep.csv", "sweep.html", "best.yaml", "plots/sweep.svg"}
    lines = texts["sweep.csv"].splitlines()
    assert lines[0].startswith("training.frozen_epochs,training.decay_rate,score,spread,loss")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    assert lines[3].endswith(",false")
    page = (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")
    for part in ("0.600", "0.700", "given up early", "12 clips of 2 customers", "<svg"):
        assert part in page
    best = load_config(tmp_path / "sweep" / "best.yaml")
    assert best.training.frozen_epochs == 1
    assert best == config.model_copy(
        update={"training": config.training.model_copy(update={"decay_rate": 0.9})}
    )
    said = str(result)
    assert "best: training.frozen_epochs=1, training.decay_rate=0.9: loss 0.600" in said
    assert "best.yaml" in said


@pytest.mark.parametrize("missing", ["optuna", "colorlog"])
def test_optuna_that_is_not_there_is_named(
    tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    for name in ("optuna", "colorlog"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, missing, None)
    run = load_config(None, [f"workspace={tmp_path}", "sweep.search=optuna"])
    with pytest.raises(ConfigError, match=r"pip install 'persona-ray\[optuna\]'"):
        sweep(run, SilentProgress())


def test_nothing_to_judge_on_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from persona_ray.launch.sweep import job as command

    train = tuple(examples(12))
    data = SimpleNamespace(
        dataset=SimpleNamespace(fingerprint="x"),
        of={Split.TRAIN: train, Split.DEV: ()}.__getitem__,
    )
    monkeypatch.setattr(command, "open_labelled", lambda _: data)
    base = [f"workspace={tmp_path}", f"tracking.url={OFF}"]
    with pytest.raises(TrainingError, match=r"the dev split has no labelled clip.*sweep\.folds=5"):
        sweep(load_config(None, base), SilentProgress())
    with pytest.raises(TrainingError, match=r"sweep\.folds 9.*there are 4"):
        sweep(load_config(None, [*base, "sweep.folds=9"]), SilentProgress())
