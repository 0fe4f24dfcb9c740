"""Following aliases: when the registry's champion or challenger changes, so do the deployments.

Somebody looks every few seconds which versions the aliases name, and gives the deployments that
hold bundles another `user_config`: their replicas load the new bundle beside the old one and lose
no request; nothing is started anew. `persona-ray serve` looks by itself (`RunDeployments`); an
application of `serve deploy` has a small deployment that does (`AliasDeployment`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.apps.bundles import choose_bundle
from persona_ray.errors import PersonaRayError, ServiceError
from persona_ray.launch.versions.records import SCHEME, Alias, parse_reference
from persona_ray.serving.deploy.stages import CHALLENGER, BundleChoice

if TYPE_CHECKING:
    from ray.serve import Application

    from persona_ray.config import RunConfig

UserConfig = Mapping[str, str]
_log = logging.getLogger(__name__)


class Versions(Protocol):
    """What the registry says."""

    def named(self, reference: str) -> str:
        """The URI of the version that an alias names now; empty where it names none."""
        ...

    def choice(self, uri: str) -> BundleChoice:
        """The bundle of a version, fetched and verified."""
        ...


class Deployments(Protocol):
    """The deployments of the running application."""

    def user_configs(self) -> dict[str, UserConfig]:
        """By name, of those that have one."""
        ...

    def change(self, user_configs: Mapping[str, UserConfig]) -> None: ...


class AliasFollower:
    """Gives the deployments what the aliases name."""

    def __init__(self, config: RunConfig, versions: Versions, deployments: Deployments) -> None:
        self._versions = versions
        self._deployments = deployments
        self._champion, self._challenger = _followed(config)

    @property
    def follows(self) -> bool:
        """Whether there is an alias to follow at all."""
        return bool(self._champion or self._challenger)

    def check(self) -> tuple[str, ...]:
        """Look once; the names of deployments that were changed.

        Where no version has the alias the champion's stays; beside it then stands, as challenger,
        the champion itself, which sees no requests. Raises what the registry raises.
        """
        now = self._deployments.user_configs()
        champion = {name: held for name, held in now.items() if not name.startswith(CHALLENGER)}
        challenger = {name: held for name, held in now.items() if name.startswith(CHALLENGER)}
        wanted = self._changed(champion, self._named(self._champion) or _held(champion))
        if challenger and self._challenger:
            uri = self._named(self._challenger)
            after = next(iter(wanted.values()), next(iter(champion.values()), {}))
            if uri:
                wanted |= self._changed(challenger, uri)
            elif after:
                wanted |= {name: after for name, held in challenger.items() if held != after}
        if wanted:
            self._deployments.change(wanted)
        return tuple(sorted(wanted))

    def _named(self, reference: str) -> str:
        return self._versions.named(reference) if reference else ""

    def _changed(self, held: Mapping[str, UserConfig], uri: str) -> dict[str, UserConfig]:
        """`uri` for those that hold something else; nothing is fetched where all hold it."""
        behind = [name for name, one in held.items() if one["reference"] != uri]
        if not behind:
            return {}
        choice = self._versions.choice(uri).to_dict()
        return dict.fromkeys(behind, choice)


def _followed(config: RunConfig) -> tuple[str, str]:
    """The aliases of champion and challenger; empty for one that does not move."""
    champion = config.serving.bundle or f"{SCHEME}{config.tracking.model}@{Alias.CHAMPION}"
    challenger = config.serving.rollout.challenger
    return champion if is_alias(champion) else "", challenger if is_alias(challenger) else ""


def choose_challenger(config: RunConfig, champion: BundleChoice) -> BundleChoice | None:
    """The configured one; None where none is. Where its alias names no version yet it is the
    champion, which is no challenger of itself and sees no requests until the alias does."""
    reference = config.serving.rollout.challenger
    if not reference:
        return None
    if is_alias(reference):
        reference = RegistryVersions(config).named(reference)
        if not reference:
            return champion
    return choose_bundle(config, reference)


def follow(follower: AliasFollower, poll_s: float | None, stop: Event) -> None:
    """Look every `poll_s` seconds (None: never) until `stop` is set; what goes wrong is logged and
    tried again."""
    while not stop.wait(poll_s):
        try:
            changed = follower.check()
        except PersonaRayError as error:
            _log.error("aliases are not followed: %s", error)
        except Exception:
            _log.exception("aliases are not followed")
        else:
            if changed:
                _log.warning("%s: changed to what the aliases name", ", ".join(changed))


def is_alias(reference: str) -> bool:
    """Whether it may name another version tomorrow."""
    return reference.startswith(SCHEME) and "@" in reference


def _held(user_configs: Mapping[str, UserConfig]) -> str:
    return next((held["reference"] for held in user_configs.values()), "")


class RegistryVersions:
    """By MLflow's registry."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def named(self, reference: str) -> str:
        from persona_ray.launch.tracking.runs import has_store
        from persona_ray.launch.versions.registry import Registry

        if not has_store(self._config):
            return ""
        model, alias = parse_reference(reference)
        versions = Registry.open(self._config, model).versions()
        return next((version.uri for version in versions if alias in version.aliases), "")

    def choice(self, uri: str) -> BundleChoice:
        return choose_bundle(self._config, uri)


class RunDeployments:
    """Of an application that this process runs: `run` deploys it anew with these bundles."""

    def __init__(
        self,
        champion: BundleChoice,
        challenger: BundleChoice | None,
        run: Callable[[BundleChoice, BundleChoice | None], None],
    ) -> None:
        self._champion = champion
        self._challenger = challenger
        self._run = run

    def user_configs(self) -> dict[str, UserConfig]:
        held: dict[str, UserConfig] = {Alias.CHAMPION: self._champion.to_dict()}
        if self._challenger is not None:
            held[CHALLENGER] = self._challenger.to_dict()
        return held

    def change(self, user_configs: Mapping[str, UserConfig]) -> None:
        champion, challenger = self._champion, self._challenger
        if Alias.CHAMPION in user_configs:
            champion = BundleChoice(**user_configs[Alias.CHAMPION])
        if CHALLENGER in user_configs:
            challenger = BundleChoice(**user_configs[CHALLENGER])
        self._run(champion, challenger)
        self._champion, self._challenger = champion, challenger


class ServeDeployments:
    """Of an application on Ray Serve, changed as `serve deploy` would change it."""

    def __init__(self, app_name: str) -> None:
        self._app_name = app_name

    def user_configs(self) -> dict[str, UserConfig]:
        deployments = self._details()[self._app_name]["deployments"]
        found = {name: one["deployment_config"]["user_config"] for name, one in deployments.items()}
        return {name: held for name, held in found.items() if held}

    def change(self, user_configs: Mapping[str, UserConfig]) -> None:
        from ray.serve.schema import ServeDeploySchema

        applications = {
            name: app["deployed_app_config"]
            for name, app in self._details().items()
            if app["deployed_app_config"]
        }
        if self._app_name not in applications:
            raise ServiceError(
                f"application '{self._app_name}' was not deployed by a configuration, so that its "
                "bundle cannot be changed under way: start it with `persona-ray serve` or `serve "
                "deploy`"
            )
        applications[self._app_name] = with_user_configs(applications[self._app_name], user_configs)
        # Those of all applications: one that is left out would be taken down.
        schema = ServeDeploySchema.model_validate({"applications": list(applications.values())})
        self._client().deploy_apps(schema)

    def _details(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client().get_serve_details()["applications"]
        return found

    def _client(self) -> Any:
        # Ray has no public way to redeploy from within a replica, without the dashboard's port.
        from ray.serve.context import _get_global_client

        return _get_global_client()


def with_user_configs(
    application: Mapping[str, Any], user_configs: Mapping[str, UserConfig]
) -> dict[str, Any]:
    """An application's configuration with these in place of what it had."""
    deployments = {one["name"]: dict(one) for one in application.get("deployments") or ()}
    for name, user_config in user_configs.items():
        deployments.setdefault(name, {"name": name})["user_config"] = dict(user_config)
    return {**application, "deployments": list(deployments.values())}


class AliasDeployment:
    """One replica that follows the aliases for as long as the application runs."""

    def __init__(self, config: RunConfig) -> None:
        from ray import serve

        app_name = serve.get_replica_context().app_name
        follower = AliasFollower(config, RegistryVersions(config), ServeDeployments(app_name))
        poll_s = config.serving.rollout.poll_s
        # It imports MLflow and reads files: not in the replica's event loop.
        self._thread = Thread(target=follow, args=(follower, poll_s, Event()), daemon=True)
        self._thread.start()

    def check_health(self) -> None:
        if not self._thread.is_alive():
            raise ServiceError("nobody follows the aliases any more")


def alias_node(config: RunConfig) -> Application | None:
    """The deployment that follows the aliases of `config`; None where it names none."""
    from ray import serve

    if not any(_followed(config)):
        return None
    options = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}}
    return serve.deployment(AliasDeployment).options(name="alias", **options).bind(config)
