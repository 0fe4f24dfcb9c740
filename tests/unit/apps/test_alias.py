"""What deployments are given when an alias names another version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from persona_ray.apps.alias import (
    AliasFollower,
    RunDeployments,
    choose_challenger,
    follow,
    is_alias,
    with_user_configs,
)
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import TrackingError
from persona_ray.serving.deploy.stages import BundleChoice

UserConfigs = dict[str, Mapping[str, str]]
CHALLENGED = "serving.rollout.challenger=models:/persona@challenger"


def bundle(number: int) -> BundleChoice:
    return BundleChoice(f"models:/persona/{number}", "persona", str(number), f"d{number}", "")


class Versions:
    """A registry of aliases, each of a version's number."""

    def __init__(self, **aliases: int) -> None:
        self.aliases = aliases
        self.fetched: list[str] = []

    def named(self, reference: str) -> str:
        number = self.aliases.get(reference.partition("@")[2])
        return f"models:/persona/{number}" if number else ""

    def choice(self, uri: str) -> BundleChoice:
        self.fetched.append(uri)
        return bundle(int(uri.rpartition("/")[2]))


class Deployments:
    """Each with the number of the bundle that it holds."""

    def __init__(self, **held: int) -> None:
        self.held: UserConfigs = {name: bundle(n).to_dict() for name, n in held.items()}

    def user_configs(self) -> UserConfigs:
        return dict(self.held)

    def change(self, user_configs: Mapping[str, Mapping[str, str]]) -> None:
        self.held |= user_configs

    @property
    def numbers(self) -> dict[str, int]:
        return {name: int(one["version"]) for name, one in self.held.items()}


def follower(
    tmp_path: Path, versions: Versions, deployments: Deployments, *overrides: str
) -> AliasFollower:
    config = load_config(None, [f"workspace={tmp_path}", *overrides])
    return AliasFollower(config, versions, deployments)


def test_the_champions_deployments_follow_its_alias(tmp_path: Path) -> None:
    versions, deployments = Versions(champion=1), Deployments(speech=1, classifier=1)
    following = follower(tmp_path, versions, deployments)
    assert following.check() == ()
    versions.aliases["champion"] = 2
    assert following.check() == ("classifier", "speech")
    assert deployments.numbers == {"speech": 2, "classifier": 2}
    assert following.check() == ()
    # A bundle is fetched and verified when it is new, and not at every look.
    assert versions.fetched == ["models:/persona/2"]


def test_a_change_that_reached_some_deployments_is_completed(tmp_path: Path) -> None:
    deployments = Deployments(speech=2, classifier=1)
    assert follower(tmp_path, Versions(champion=2), deployments).check() == ("classifier",)
    assert deployments.numbers == {"speech": 2, "classifier": 2}


def test_the_challenger_follows_its_own_alias(tmp_path: Path) -> None:
    versions = Versions(champion=1, challenger=2)
    deployments = Deployments(fused=1, challenger_fused=2)
    following = follower(tmp_path, versions, deployments, CHALLENGED)
    assert following.check() == ()
    versions.aliases["challenger"] = 3
    assert following.check() == ("challenger_fused",)
    assert deployments.numbers == {"fused": 1, "challenger_fused": 3}


def test_a_promoted_challenger_leaves_its_place_to_the_champion(tmp_path: Path) -> None:
    versions = Versions(champion=1, challenger=2)
    deployments = Deployments(fused=1, challenger_fused=2)
    following = follower(tmp_path, versions, deployments, CHALLENGED)
    versions.aliases = {"champion": 2}
    following.check()
    assert deployments.numbers == {"fused": 2, "challenger_fused": 2}
    versions.aliases = {"champion": 3}
    following.check()
    assert deployments.numbers == {"fused": 3, "challenger_fused": 3}
    versions.aliases["challenger"] = 4
    following.check()
    assert deployments.numbers == {"fused": 3, "challenger_fused": 4}


def test_without_a_champion_what_is_served_stays(tmp_path: Path) -> None:
    deployments = Deployments(fused=1, challenger_fused=2)
    assert follower(tmp_path, Versions(challenger=2), deployments, CHALLENGED).check() == ()


@pytest.mark.parametrize("named", ["serving.bundle=models:/persona/1", "serving.bundle=bundle"])
def test_a_fixed_bundle_is_not_followed(tmp_path: Path, named: str) -> None:
    versions, deployments = Versions(champion=2), Deployments(fused=1)
    following = follower(tmp_path, versions, deployments, named)
    assert not following.follows
    assert following.check() == ()


def test_only_aliases_move() -> None:
    assert is_alias("models:/persona@champion")
    assert not is_alias("models:/persona/3")
    assert not is_alias("/bundles/persona@home")


def test_a_registry_that_is_down_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Event()

    class Down(Versions):
        looks = 0

        def named(self, reference: str) -> str:
            self.looks += 1
            if self.looks < 3:
                raise TrackingError("the server is down")
            stop.set()
            return super().named(reference)

    deployments = Deployments(fused=1)
    follow(follower(tmp_path, Down(champion=2), deployments), 0.001, stop)
    assert deployments.numbers == {"fused": 2}
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "aliases are not followed: the server is down"
    ] * 2


def test_an_application_of_this_process_is_run_anew(tmp_path: Path) -> None:
    ran: list[tuple[str, str]] = []

    def run(champion: BundleChoice, challenger: BundleChoice | None) -> None:
        ran.append((champion.version, challenger.version if challenger else ""))

    deployments = RunDeployments(bundle(1), bundle(2), run)
    versions = Versions(champion=1, challenger=2)
    config = load_config(None, [f"workspace={tmp_path}", CHALLENGED])
    following = AliasFollower(config, versions, deployments)
    assert following.check() == ()
    versions.aliases["challenger"] = 3
    assert following.check() == ("challenger_",)
    versions.aliases = {"champion": 3}
    assert following.check() == ("champion",)
    assert following.check() == ()
    assert ran == [("1", "3"), ("3", "3")]


def test_a_change_that_failed_is_tried_again() -> None:
    def fails(*_choices: BundleChoice | None) -> None:
        raise RuntimeError("Serve is gone")

    deployments = RunDeployments(bundle(1), None, fails)
    with pytest.raises(RuntimeError):
        deployments.change({"champion": bundle(2).to_dict()})
    assert deployments.user_configs() == {"champion": bundle(1).to_dict()}


def test_user_configs_take_the_place_of_what_a_configuration_had() -> None:
    application: dict[str, Any] = {
        "name": "personality",
        "import_path": "a:b",
        "deployments": [{"name": "fused", "num_replicas": 2, "user_config": {"version": "1"}}],
    }
    changed = with_user_configs(
        application, {"fused": {"version": "2"}, "challenger_fused": {"version": "3"}}
    )
    assert changed == {
        "name": "personality",
        "import_path": "a:b",
        "deployments": [
            {"name": "fused", "num_replicas": 2, "user_config": {"version": "2"}},
            {"name": "challenger_fused", "user_config": {"version": "3"}},
        ],
    }
    assert application["deployments"][0]["user_config"] == {"version": "1"}
    assert with_user_configs({"name": "x", "deployments": None}, {})["deployments"] == []


def test_a_challenger_whose_alias_names_nothing_yet_is_the_champion(tmp_path: Path) -> None:
    def config(*overrides: str) -> RunConfig:
        return load_config(None, [f"workspace={tmp_path}", *overrides])

    assert choose_challenger(config(), bundle(1)) is None
    assert choose_challenger(config(CHALLENGED), bundle(1)) == bundle(1)
