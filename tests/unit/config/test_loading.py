"""The strict configuration: keys, overrides, cross-field rules, shipped files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config import RunConfig, describe, load_config, load_section, write_config
from persona_ray.config.corpus import SplitConfig
from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import ConfigError


def test_unknown_key_names_the_near_one_and_the_valid_ones(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("training:\n  epoch: 3\n")
    with pytest.raises(ConfigError, match=r"'training\.epoch'.*'training\.epochs'.*decay_rate"):
        load_config(path)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("training.epochs", "section.key=value"),
        ("training.epochs=three", "training.epochs = 'three'"),
        ("training.epochs=0", "training.epochs = 0"),
        ("training.epochs.x=1", "training.epochs"),
        ("training.frozen_epochs=99", "lower the threshold"),
        ("splits.test=0.5", "must sum to 1"),
        ("annotation.labels=[red]", "at least two"),
        ("annotation.uncertain=red", "one of labels"),
        ("cut.max_clip_s=60", "raise model.max_clip_s"),
        ("nothing=1", "unknown key 'nothing'"),
        ("training=3", "training = 3: must be a map, like {epochs: 15}; valid keys: batch_s"),
        ("training.epochs=null", "training.epochs = null"),
        ("annotation.files=a.csv", "annotation.files = 'a.csv': must be a list, like [a, b]"),
        ("pretraining.encoders=text", "must be a list, like [speech, text]"),
        ("pretraining.encoders=[txt]", "pretraining.encoders[0] = 'txt'"),
        ("pretraining.speech.iterations=3", "must be a list, like [{features: mfcc}]"),
        ("pretraining.speech.iterations=[]", "must have 1 or more in its list"),
        ("pretraining.speech.iterations=[mfcc]", "iterations[0] = 'mfcc': must be a map"),
    ],
)
def test_bad_override_says_what_and_why(override: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "tuple" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (
            "unitz: 3",
            "unknown key 'pretraining.speech.iterations[1].unitz': valid keys: clusters, features, "
            "layer, sampled_frames",
        ),
        (
            "cluster: 3",
            "unknown key 'pretraining.speech.iterations[1].cluster': did you mean "
            "'pretraining.speech.iterations[1].clusters'? valid keys: clusters, features, layer, "
            "sampled_frames",
        ),
        # What is wrong with the one item is not told of the list a second time.
        (
            "clusters: x",
            "pretraining.speech.iterations[1].clusters = 'x': Input should be a valid integer, "
            "unable to parse string as an integer",
        ),
        (
            "{clusters: 500, sampled_frames: 400}",
            "pretraining.speech.iterations[1]: clusters 500 > sampled_frames 400: raise "
            "sampled_frames or lower clusters, since each unit needs a frame",
        ),
        (
            "clusters: 70000",
            "pretraining.speech.iterations[1].clusters = 70000: Input should be less than or equal "
            "to 65536",
        ),
    ],
)
def test_a_wrong_item_of_a_list_is_named_by_its_number(item: str, said: str) -> None:
    braced = item if item.startswith("{") else f"{{{item}}}"
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"pretraining.speech.iterations=[{{clusters: 4}}, {braced}]"])
    assert str(caught.value) == said


def test_a_list_of_wrong_items_alone_is_not_called_short() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["pretraining.speech.iterations=[{clusters: x}]"])
    assert "or more" not in str(caught.value)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    broken, listing = tmp_path / "broken.yaml", tmp_path / "list.yaml"
    broken.write_text("a: [1")
    listing.write_text("- a\n- b\n")
    for path, part in [
        (tmp_path / "absent.yaml", "does not exist"),
        (broken, "is not YAML"),
        (listing, "must be a map"),
        (tmp_path, "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=part):
            load_config(path)


def test_override_wins_over_file_and_file_over_default(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("training: {epochs: 9, seed: 4}\n")
    config = load_config(path, ["training.epochs=7", "training.learning_rate=1e-3"])
    assert (config.training.epochs, config.training.seed) == (7, 4)
    assert config.training.learning_rate == 1e-3
    assert config.training.frozen_epochs == RunConfig().training.frozen_epochs


@given(
    epochs=st.integers(5, 200),
    rate=st.floats(1e-7, 1.0),
    salt=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20),
)
def test_written_sections_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, epochs: int, rate: float, salt: str
) -> None:
    path = tmp_path_factory.mktemp("config") / "run.yaml"
    for config in (TrainingConfig(epochs=epochs, learning_rate=rate), SplitConfig(salt=salt)):
        write_config(config, path)
        assert load_section(type(config), path) == config


def test_the_whole_tree_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(None, ["training.epochs=7", "training.learning_rate=1e-5"])
    write_config(config, tmp_path / "run.yaml")
    assert load_config(tmp_path / "run.yaml") == config


def test_every_key_is_described() -> None:
    described = list(describe())
    assert {key for key, _, _ in described} >= {"workspace", "training.epochs", "model.text.path"}
    assert [key for key, _, meaning in described if not meaning] == []


def test_every_default_is_written_as_a_user_would_write_it() -> None:
    described = {key: default for key, default, _ in describe()}
    assert described["pretraining.encoders"] == "[]"
    assert described["launch.min_workers"] == "null"
    assert described["archive.query"].startswith("|\nSELECT")
    for key, default in described.items():
        if not default.startswith("|"):
            assert load_config(None, [f"{key}={default}"]) == RunConfig()


def test_keys_inside_lists_are_described_where_asked_for() -> None:
    inside = {key for key, _, _ in describe(items=True)} - {key for key, _, _ in describe()}
    named = {"features", "layer", "clusters", "sampled_frames"}
    assert inside == {f"pretraining.speech.iterations[].{name}" for name in named}


def test_every_shipped_configuration_loads(repository: Path) -> None:
    shipped = sorted((repository / "configs").glob("*.yaml"))
    assert shipped
    for path in shipped:
        if path.name == "demo_archive.yaml":
            continue  # the synthetic archive's own schema; its room loads it
        load_config(path)


def test_tracking_can_be_turned_off_unquoted() -> None:
    assert load_config(None, ["tracking.url=off"]).tracking.url == "off"
