"""The registry on MLflow's own SQLite store: who becomes champion, and what is recorded of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import RunConfig, write_config
from persona_ray.errors import BundleError, PromotionError, RegistryError
from persona_ray.launch.labelled import open_labelled
from persona_ray.launch.versions.promotion import compare, promote, register, rollback
from persona_ray.launch.versions.records import JUDGEMENT, Action, Alias
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.models.lineage import Lineage
from persona_ray.models.manifest import digest
from persona_ray.progress import SilentProgress
from persona_ray.store import open_audited
from persona_ray.store.audit import acting
from persona_ray.types import Split
from tests.unit.launch.registered import (
    Made,
    customers,
    flip_a_bit,
    lose_a_file,
    lose_all,
    make_all,
    swap_it,
)
from tests.unit.training.toys import LABELS

QUIET = SilentProgress()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_all(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def config(made: Made, request: pytest.FixtureRequest) -> RunConfig:
    """One MLflow store for all tests, a registered model for each."""
    tracking = made.config.tracking.model_copy(update={"model": request.node.originalname})
    return made.config.model_copy(update={"tracking": tracking})


def champion(config: RunConfig) -> int | None:
    holder = Registry.open(config).holder(Alias.CHAMPION)
    return None if holder is None else holder.number


def command(config: RunConfig, *arguments: str) -> str:
    """What a command prints; mistakes pass as errors."""
    path = config.workspace / "as-run.yaml"
    write_config(config, path)
    answer = CliRunner().invoke(app, [*arguments, "--config", str(path)])
    if answer.exception is not None:
        raise answer.exception
    return answer.output


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_ray.cli.models.Console", lambda: Console(width=200))


def test_a_bundle_is_registered_once_and_comes_back_whole(made: Made, config: RunConfig) -> None:
    assert command(config, "models", "list") == f"no bundle is registered as '{model(config)}'\n"
    assert f"models:/{model(config)}/1: version 1, challenger" in command(
        config, "models", "register"
    )
    again = register(config, made.good)
    assert (again.number, again.aliases) == (1, ("challenger",))
    second = register(config, made.better)
    assert (second.number, second.aliases) == (2, ("challenger",))
    for reference in (f"models:/{model(config)}/1", made.good):
        found = resolve_bundle(config, reference)
        assert digest(found) == digest(made.good)
    challenger = resolve_bundle(config, f"models:/{model(config)}@challenger")
    assert digest(challenger) == digest(made.better)
    assert "mlruns" in str(challenger), "what lies on this machine is not copied"
    listed = command(config, "models", "list")
    assert "75.0%" in listed
    assert "challenger" in listed
    test = made.test_customers
    assert f" {len(customers_heard(made)) - 0} " in listed
    assert not set(test) & customers_heard(made)


def model(config: RunConfig) -> str:
    return config.tracking.model


def customers_heard(made: Made) -> set[str]:
    return set(Lineage.read(made.good).customers())


def test_champions_follow_one_another_and_go_back(made: Made, config: RunConfig) -> None:
    for bundle in (made.good, made.better, made.heard_four):
        register(config, bundle)
    with pytest.raises(RegistryError, match="no version or alias 'champion': there are 1, 2, 3"):
        rollback(config)
    said = command(config, "models", "promote", "1")
    assert "version 1 is champion (first)" in said
    with pytest.raises(RegistryError, match="version 1 is the champion already"):
        promote(config, "champion", QUIET)
    second = promote(config, "2", QUIET)
    assert second.before is not None
    assert second.before.number == 1
    assert "version 2 is champion (not worse)" in str(second)
    assert "48 clips of 16 customers" in str(second)
    third = promote(config, "challenger", QUIET)
    assert "left out: 4 customers of the test split" in str(third)
    assert "36 clips of 12 customers" in str(third)
    with pytest.raises(RegistryError, match="'challenger'"):
        promote(config, "challenger", QUIET)
    assert "version 2 is champion again, version 3 is not" in command(
        config, "models", "rollback", "--reason", "complaints"
    )
    rollback(config)
    assert champion(config) == 1
    with pytest.raises(RegistryError, match="no champion before version 1"):
        rollback(config)
    registry = Registry.open(config)
    told = [(change.action, change.before, change.after) for change in registry.history()]
    assert told == [
        (Action.PROMOTE, None, 1),
        (Action.PROMOTE, 1, 2),
        (Action.PROMOTE, 2, 3),
        (Action.ROLLBACK, 3, 2),
        (Action.ROLLBACK, 2, 1),
    ]
    assert registry.history()[3].details["reason"] == "complaints"
    judged = registry.find("2").details(JUDGEMENT)
    assert (judged["decision"], judged["against"]) == ("not worse", 1)
    assert judged["difference"] == pytest.approx(judged["version"] - judged["champion"])
    low, high = judged["interval"]
    assert low <= judged["difference"] <= high
    assert "clip accuracy" in judged["statistic"]


def test_a_worse_one_is_refused_unless_forced_with_a_reason(made: Made, config: RunConfig) -> None:
    for bundle in (made.good, made.bad):
        register(config, bundle)
    promote(config, "1", QUIET)
    with pytest.raises(PromotionError, match=r"worse than the champion.*beyond noise") as refused:
        promote(config, "challenger", QUIET)
    assert refused.value.exit_code == 6
    assert "16 held-out customers" in str(refused.value)
    assert champion(config) == 1
    registry = Registry.open(config)
    assert registry.find("challenger").number == 2, "it may be promoted later"
    assert registry.find("2").details(JUDGEMENT)["decision"] == "refused"
    assert len(registry.history()) == 1
    assert "refused" in command(config, "models", "list")
    with pytest.raises(RegistryError, match="--force needs --reason"):
        promote(config, "challenger", QUIET, force=True, reason="  ")
    promote(config, "challenger", QUIET, force=True, reason="新标签体系 is here")
    assert champion(config) == 2
    last = registry.history()[-1]
    assert last.details["reason"] == "新标签体系 is here"
    assert last.details["decision"] == "forced"
    assert last.details["interval"][1] < 0
    # Nobody needs to know who it was.
    assert "user" not in json.dumps(dict(last.details))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other_labels", "calm, fiery, sunny, cold: bundles of other labels cannot be compared"),
        ("heard_all", "the test split has 0 customers .* 16 others were heard by one of the two"),
        ("old", "no lineage.parquet, so that nobody knows whom it heard"),
    ],
)
def test_what_cannot_be_compared_needs_force(
    made: Made, config: RunConfig, name: str, said: str
) -> None:
    update = {"model": f"{model(config)}-{name}"}
    config = config.model_copy(update={"tracking": config.tracking.model_copy(update=update)})
    register(config, made.good)
    promote(config, "1", QUIET)
    register(config, getattr(made, name))
    with pytest.raises((RegistryError, BundleError), match=said) as caught:
        promote(config, "challenger", QUIET)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert champion(config) == 1
    forced = promote(config, "challenger", QUIET, force=True, reason="no other way")
    assert champion(config) == 2
    assert "not compared: " in str(forced)
    assert Registry.open(config).history()[-1].details["not_compared"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip_a_bit, "'text/model.safetensors' was changed or damaged"),
        (lose_a_file, "lacks 'head.safetensors'"),
        (swap_it, "is another bundle than was registered"),
        (lose_all, "where this machine has none"),
    ],
)
def test_a_damaged_artifact_serves_nobody(
    made: Made, config: RunConfig, damage: Callable[[Path], None], said: str
) -> None:
    name = f"{model(config)}-{damage.__name__}"
    config = config.model_copy(
        update={"tracking": config.tracking.model_copy(update={"model": name})}
    )
    register(config, made.good)
    damage(resolve_bundle(config, f"models:/{name}@challenger"))
    attempts: list[Callable[[], Any]] = [
        lambda: resolve_bundle(config, f"models:/{name}/1"),
        lambda: promote(config, "1", QUIET, force=True, reason="in a hurry"),
        lambda: command(
            config, "recognize", "--text", "你好你好", "--bundle", f"models:/{name}@challenger"
        ),
    ]
    for attempt in attempts:
        with pytest.raises(BundleError, match=f"^models:/{name}/1: .*{said}") as caught:
            attempt()
        assert caught.value.exit_code == 2
    mended = register(config, made.good)
    assert mended.number == 2, "the same bundle again, since the first is lost"
    resolve_bundle(config, mended.uri)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("models:/persona/latest", "write models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/nobody@champion", "no bundle is registered as 'nobody'"),
        ("models:/{model}/7", "no version or alias '7': there are 1, challenger"),
        ("models:/{model}@champion", "no version or alias 'champion': there are 1, challenger"),
    ],
)
def test_a_reference_to_nothing_says_what_there_is(
    made: Made, config: RunConfig, reference: str, said: str
) -> None:
    register(config, made.good)
    with pytest.raises(RegistryError, match=said) as caught:
        resolve_bundle(config, reference.format(model=model(config)))
    assert caught.value.exit_code == 2
    off = config.model_copy(update={"tracking": config.tracking.model_copy(update={"url": "off"})})
    with pytest.raises(RegistryError, match=r"tracking\.url is off"):
        resolve_bundle(off, "models:/persona@champion")
    assert resolve_bundle(off, made.good) == made.good


def test_compare_prints_both_on_the_same_clips(made: Made, config: RunConfig) -> None:
    register(config, made.good)
    said = command(config, "models", "compare", "challenger", str(made.bad))
    assert "clip accuracy" in said
    assert "customer accuracy" in said
    assert f"{made.bad} is worse beyond noise" in " ".join(said.split())
    same = compare(config, str(made.good), f"models:/{model(config)}/1", QUIET)
    assert same.paired.deciding.difference.interval == (0.0, 0.0)
    assert same.paired.customers == len(made.test_customers)
    with pytest.raises(BundleError, match="no/such is no folder"):
        compare(config, "no/such", "1", QUIET)


def test_lineage_goes_both_ways(made: Made, config: RunConfig, tmp_path: Path) -> None:
    for bundle in (made.good, made.heard_four, made.old):
        register(config, bundle)
    heard = made.test_customers[0]
    said = command(config, "models", "lineage", "--customer", heard)
    lines = [line.split("│")[1:-1] for line in said.splitlines() if "version" in line]
    rows = {row[0].strip().split(",")[0]: [cell.strip() for cell in row[1:]] for row in lines}
    # pretraining, train, dev; nothing is said of version 1, which has not heard this customer.
    assert rows["version 2"][:3] == ["1", "0", "0"]
    assert rows["version 3"][:3] == ["?", "?", "?"]
    assert set(rows) == {"version 2", "version 3"}
    (trained, *_) = customers(open_labelled(config), Split.TRAIN)
    said = command(config, "models", "lineage", "--customer", trained)
    assert said.count("version ") == 3
    out = tmp_path / "clips.csv"
    said = command(config, "models", "lineage", "--version", "1", "--csv", str(out))
    assert f"{out}: 96 rows" in " ".join(said.split())
    with out.open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    examples = {e.clip_id: e for e in open_labelled(config).examples if e.split != Split.TEST}
    assert {row["clip_id"] for row in written} == set(examples)
    for row in written:
        example = examples[row["clip_id"]]
        assert (row["customer_id"], row["split"], row["label"]) == (
            example.customer_id,
            example.split,
            example.label,
        )
    by_folder = command(config, "models", "lineage", "--bundle", str(made.heard_four))
    assert [c.strip() for c in by_folder.splitlines()[3].split("│")[1:-1]] == [
        "pretraining", "4", "4",
    ]  # fmt: skip
    with pytest.raises(BundleError, match="nobody knows whom it heard"):
        command(config, "models", "lineage", "--version", "3")
    nobody = command(config, "models", "lineage", "--customer", "customer-x")
    # Version 3 cannot tell: it must not look as if nobody had been heard.
    assert "version 3" in nobody
    assert "version 2" not in nobody


def test_recognize_takes_the_champion(made: Made, config: RunConfig) -> None:
    register(config, made.better)
    promote(config, "challenger", QUIET)
    uri = f"models:/{model(config)}@champion"
    text = "我你的是了为为为"
    answer, other = (
        json.loads(command(config, "recognize", "--text", text, "--json", "--bundle", bundle))
        for bundle in (uri, str(made.better))
    )
    assert answer == other
    assert set(answer["together"]["probabilities"]) == set(LABELS)


def test_who_made_which_version_champion_is_audited(made: Made, config: RunConfig) -> None:
    register(config, made.good)
    promote(config, "1", QUIET)
    with acting("key:1234"):
        promote(config, str(register(config, made.better).number), QUIET, True, "a test")
    with open_audited(config) as store:
        entries = list(store.audit.entries())
        store.audit.verify()
    mine = [entry for entry in entries if entry.about.startswith(f"{model(config)}/")]
    champions = [f"{model(config)}/1", f"{model(config)}/2"]
    assert [(one.action, one.about) for one in mine] == [
        ("models.champion", name) for name in champions
    ]
    assert mine[-1].actor == "key:1234"
