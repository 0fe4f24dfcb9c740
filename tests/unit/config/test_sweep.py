"""A sweep's space: keys and values that are there, combinations that are possible."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config import RunConfig, load_config, write_config
from persona_ray.config.space import (
    check_combinations,
    combinations,
    corners,
    shown,
    space_of,
    with_values,
)
from persona_ray.config.sweep import Distribution
from persona_ray.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("training.frozen_epoch={grid: [1]}", "near are training.frozen_epochs"),
        ("decay_rate={grid: [1]}", "near are training.decay_rate"),
        ("training={grid: [1]}", "'training' is a section"),
        ("corpus.truth={grid: [a]}", "'corpus.truth' cannot vary"),
        ("training.seed={grid: [1]}", "list sweep.seeds"),
        ("training.decay_rate={grid: [0.9, 1.5]}", "training.decay_rate cannot be 1.5"),
        ("training.keep={choice: [last, first]}", "training.keep cannot be first"),
        ("training.decay_rate={uniform: [0.5, 2]}", "training.decay_rate cannot be 2.0"),
        ("training.epochs={uniform: [1, 9]}", "{randint: [first, last]}"),
        ("training.epochs={gird: [1]}", "must be one of {grid: [1, 2]}"),
        ("training.epochs={grid: [1], choice: [2]}", "must be one of"),
        ("training.epochs=3", "must be one of"),
        ("training.epochs={grid: []}", "grid has no value"),
        ("training.epochs={randint: [9, 1]}", "must be first < second"),
        ("training.learning_rate={loguniform: [0, 1]}", "must be 0 < first < second"),
    ],
)
def test_a_wrong_space_is_told_when_it_is_loaded(override: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"sweep.space.{override}"])
    assert part in str(caught.value)
    assert "sweep.space" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["seeds=[1, 1]", "seeds=[-1]", "seeds=[]", "folds=1"])
def test_settings_that_make_no_sense(override: str) -> None:
    with pytest.raises(ConfigError, match=rf"sweep\.{override.split('=')[0]}"):
        load_config(None, [f"sweep.{override}"])


def test_the_default_space_is_six_thresholds_by_three_decays() -> None:
    config = RunConfig()
    rows = combinations(space_of(config.sweep, config.training), config.sweep)
    assert len(rows) == 18
    assert {"training.frozen_epochs": 5, "training.decay_rate": 0.95} in rows
    check_combinations(config, rows)
    # A short training has fewer thresholds, none of them impossible.
    short = load_config(None, ["training.epochs=3", "training.frozen_epochs=1"])
    rows = combinations(space_of(short.sweep, short.training), short.sweep)
    assert {row["training.frozen_epochs"] for row in rows} == {1, 2, 3}
    check_combinations(short, rows)


def test_impossible_combinations_are_counted_and_the_first_is_named() -> None:
    config = load_config(
        None,
        [
            "sweep.space.training.frozen_epochs={grid: [2, 4]}",
            "sweep.space.training.epochs={grid: [3, 5]}",
        ],
    )
    rows = combinations(config.sweep.space, config.sweep)
    with pytest.raises(ConfigError) as caught:
        check_combinations(config, rows)
    message = str(caught.value)
    assert message.startswith("1 of 4 combinations of sweep.space are impossible, first ")
    assert "training.frozen_epochs=4, training.epochs=3" in message
    assert "lower the threshold" in message


def test_a_range_has_no_grid() -> None:
    config = load_config(None, ["sweep.space.training.decay_rate={uniform: [0.5, 1]}"])
    with pytest.raises(ConfigError, match=r"training\.decay_rate is uniform.*sweep\.search=random"):
        combinations(config.sweep.space, config.sweep)
    assert corners(config.sweep.space)[:2] == [
        {"training.decay_rate": 0.5},
        {"training.decay_rate": 1.0},
    ]


def test_random_draws_differ_and_are_drawn_again() -> None:
    config = load_config(
        None,
        [
            "sweep.space.training.decay_rate={choice: [0.9, 0.95, 1.0]}",
            "sweep.space.training.frozen_epochs={randint: [1, 2]}",
            "sweep.search=random",
            "sweep.samples=20",
        ],
    )
    rows = combinations(config.sweep.space, config.sweep)
    assert len({shown(row) for row in rows}) == len(rows) == 6
    assert combinations(config.sweep.space, config.sweep) == rows


@given(share=st.floats(0, 1, exclude_max=True))
def test_values_lie_within(share: float) -> None:
    assert Distribution(randint=(2, 4)).at(share) in (2, 3, 4)
    assert 0.5 <= Distribution(uniform=(0.5, 1.0)).at(share) <= 1.0
    assert 1e-5 * (1 - 1e-9) <= Distribution(loguniform=(1e-5, 1e-3)).at(share) <= 1e-3
    assert Distribution(choice=("a", "b")).at(share) in ("a", "b")


def test_a_configuration_with_values_is_whole_and_can_be_written(tmp_path: Path) -> None:
    config = load_config(
        None,
        [
            "sweep.space.training.decay_rate={uniform: [0.5, 1]}",
            "sweep.space.model.speech.small.layers={grid: [2, 4]}",
        ],
    )
    other = with_values(config, {"training.decay_rate": 0.7, "model.speech.small.layers": 4})
    assert other.training.decay_rate == 0.7
    assert other.model.speech.small.layers == 4
    write_config(other, tmp_path / "best.yaml")
    assert load_config(tmp_path / "best.yaml") == other
    with pytest.raises(ConfigError, match=r"training\.decay_rate = 2"):
        with_values(config, {"training.decay_rate": 2})
