"""The registry: bundles as versions of one registered MLflow model, with aliases and a history.

A version is known by the SHA-256 of its bundle.json, which holds that of every other file. The
history of the champion stands in tags of the registered model, one for each change, so that a
change can be taken back and nobody can forget why it was made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlparse

from persona_ray.config import RunConfig
from persona_ray.errors import BundleError, RegistryError, TrackingError
from persona_ray.files import put_folder, scratch_folder, sha256_file
from persona_ray.launch.tracking.place import TrackingStore, open_store
from persona_ray.launch.tracking.runs import OFF, create_run, mlflow_client
from persona_ray.launch.versions.records import Alias, Change, Version, parse_reference
from persona_ray.models import manifest as bundles
from persona_ray.models.contract import RankerContract
from persona_ray.models.lineage import LINEAGE, Lineage

if TYPE_CHECKING:
    from persona_ray.models.contract import Manifest

# Where a run keeps its bundle.
ARTIFACT = "bundle"
PREFIX = "persona_ray."
_HISTORY = f"{PREFIX}history."


class Registry:
    """The versions of one registered model."""

    def __init__(
        self, client: Any, store: TrackingStore, model: str, cache: Path, config: RunConfig
    ) -> None:
        self._config = config
        self._client = client
        self._store = store
        self._cache = cache
        self.model = model

    @classmethod
    def open(cls, config: RunConfig, model: str = "") -> Self:
        """`model` empty: the configured one. Raises TrackingError where MLflow cannot be reached,
        RegistryError where it is off."""
        if config.tracking.url == OFF:
            raise RegistryError(
                "tracking.url is off, so there is no registry: leave it empty for the workspace's, "
                "or name a server"
            )
        store = open_store(config)
        with failures_named(store):
            client = mlflow_client(store)
        name = model or config.tracking.model
        return cls(client, store, name, config.bundle_cache_dir, config)

    def versions(self) -> list[Version]:
        """The newest first; none where nothing was registered."""
        with failures_named(self._store):
            model = self._registered()
            if model is None:
                return []
            aliases: dict[int, list[str]] = {}
            for alias, number in model.aliases.items():
                aliases.setdefault(int(number), []).append(alias)
            found: list[Version] = []
            token: str | None = None
            while token != "":
                page = self._client.search_model_versions(f"name='{self.model}'", page_token=token)
                found += [self._version(row, aliases.get(int(row.version), [])) for row in page]
                token = page.token or ""
        return sorted(found, key=lambda version: -version.number)

    def find(self, reference: str) -> Version:
        """The version with this number or alias; RegistryError names those there are."""
        versions = self.versions()
        for version in versions:
            if reference == str(version.number) or reference in version.aliases:
                return version
        if not versions:
            raise RegistryError(
                f"no bundle is registered as '{self.model}' in {self._store.shown}: "
                "`persona-ray models register` registers the workspace's"
            )
        there = [str(v.number) for v in reversed(versions)]
        there += sorted(alias for version in versions for alias in version.aliases)
        raise RegistryError(
            f"'{self.model}' has no version or alias '{reference}': there are {', '.join(there)}"
        )

    def holder(self, alias: Alias) -> Version | None:
        """The version that has the alias, None where none has."""
        return next((v for v in self.versions() if alias in v.aliases), None)

    def register(self, bundle: Path, run_id: str = "") -> Version:
        """Keep the bundle with its run (empty: one of its own), and make it a version.

        The same bundle is registered once. Raises BundleError for one that is damaged.
        """
        manifest = bundles.verify(bundle)
        digest = bundles.digest(bundle)
        for version in self.versions():
            if version.digest == digest and self._sound(version):
                return version
        tags = {f"{PREFIX}{name}": value for name, value in _tags(bundle, manifest).items()}
        tags[f"{PREFIX}bundle"] = digest
        with failures_named(self._store):
            if not run_id:
                run_id = create_run(self._client, self._store, "register", {})
                self._client.set_terminated(run_id)
            self._client.log_artifacts(run_id, str(bundle), ARTIFACT)
            self._create_model()
            row = self._client.create_model_version(
                self.model, f"runs:/{run_id}/{ARTIFACT}", run_id, tags=tags
            )
            return self._version(row, [])

    def point(self, alias: Alias, version: Version) -> None:
        """Give the alias to `version`, whoever had it. A new champion stands in the audit log: told
        before the alias moves, as in the history. Raises StoreError where it cannot be told."""
        if alias is Alias.CHAMPION:
            self._tell(version)
        with failures_named(self._store):
            self._client.set_registered_model_alias(self.model, alias, str(version.number))

    def release(self, alias: Alias) -> None:
        with failures_named(self._store):
            self._client.delete_registered_model_alias(self.model, alias)

    def note(self, version: Version, name: str, value: str) -> None:
        """A tag of the version."""
        with failures_named(self._store):
            self._client.set_model_version_tag(
                self.model, str(version.number), f"{PREFIX}{name}", value
            )

    def keep(
        self, version: Version, texts: Mapping[str, str], figures: Mapping[str, float]
    ) -> None:
        """Files and figures beside the run that the version came of."""
        with failures_named(self._store):
            for name, content in texts.items():
                self._client.log_text(version.run_id, content, name)
            for name, value in figures.items():
                self._client.log_metric(version.run_id, name, value)

    def history(self) -> list[Change]:
        """Changes of the champion, the oldest first."""
        with failures_named(self._store):
            model = self._registered()
        tags = {} if model is None else model.tags
        names = sorted(name for name in tags if name.startswith(_HISTORY))
        return [Change.from_json(name, tags[name]) for name in names]

    def record(self, change: Change) -> None:
        """Before the alias moves: a change that is broken off is told, not lost."""
        with failures_named(self._store):
            self._client.set_registered_model_tag(
                self.model, f"{_HISTORY}{change.key}", change.to_json()
            )

    def fetch(self, version: Version) -> Path:
        """The bundle's folder: where it lies if that is on this machine, else in the cache.

        Every file is compared with its SHA-256, and the whole with what was registered; a damaged
        copy in the cache is fetched again. Raises BundleError where the original is damaged.
        """
        if not version.digest:
            raise RegistryError(
                f"{version.uri} was not registered by persona-ray: it names no bundle "
                f"(tag {PREFIX}bundle); `persona-ray models register BUNDLE` makes one that does"
            )
        place = self._local(version)
        if place is not None:
            _check(place, version)
            return place
        kept = self._cache / version.digest
        if kept.is_dir():
            try:
                _check(kept, version)
            except BundleError as error:
                logging.getLogger(__name__).warning("%s: it is fetched again", error)
            else:
                return kept
        with self._download(version, ARTIFACT) as fetched:
            _check(fetched, version)
            put_folder(fetched, kept)
        return kept

    def lineage(self, version: Version) -> Lineage:
        """Of a registered bundle, without fetching the rest. BundleError where it has none."""
        promised = version.tags.get("lineage")
        if promised is None:
            raise BundleError(f"{version.uri} has no {LINEAGE}: nobody knows whom it heard")
        place = self._local(version)
        if place is not None:
            return _lineage(place, promised, version)
        kept = self._cache / version.digest
        if kept.is_dir():
            return _lineage(kept, promised, version)
        with self._download(version, f"{ARTIFACT}/{LINEAGE}") as fetched:
            return _lineage(fetched.parent, promised, version)

    def _local(self, version: Version) -> Path | None:
        with failures_named(self._store):
            uri = self._client.get_run(version.run_id).info.artifact_uri
        parsed = urlparse(uri)
        return Path(unquote(parsed.path)) / ARTIFACT if parsed.scheme in ("", "file") else None

    @contextmanager
    def _download(self, version: Version, path: str) -> Iterator[Path]:
        """A file or folder of the version's run, gone after the block unless it was moved."""
        with ExitStack() as stack:
            try:
                self._cache.mkdir(parents=True, exist_ok=True)
                part = stack.enter_context(scratch_folder(self._cache / version.digest))
            except OSError as error:
                raise RegistryError(
                    f"{self._cache} cannot be written ({error.strerror}): name another "
                    "tracking.cache"
                ) from None
            with failures_named(self._store):
                fetched = self._client.download_artifacts(version.run_id, path, str(part))
            yield Path(fetched)

    def _sound(self, version: Version) -> bool:
        try:
            self.fetch(version)
        except BundleError:
            return False
        return True

    def _tell(self, version: Version) -> None:
        from persona_ray.store.audit import actor_here
        from persona_ray.store.open import open_audited

        about = f"{self.model}/{version.number}"
        details: dict[str, str | int] = {"bundle": version.digest, "forgotten": version.forgotten}
        with open_audited(self._config) as store:
            store.audit.note(actor_here(), "models.champion", about, details=details)

    def _create_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _registered(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(self.model)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _version(self, row: Any, aliases: list[str]) -> Version:
        tags = {
            name.removeprefix(PREFIX): value
            for name, value in row.tags.items()
            if name.startswith(PREFIX)
        }
        return Version(
            model=self.model,
            number=int(row.version),
            aliases=tuple(sorted(aliases)),
            run_id=row.run_id or "",
            registered_at=datetime.fromtimestamp(row.creation_timestamp / 1000, UTC),
            tags=tags,
        )


def resolve_bundle(config: RunConfig, reference: str | Path) -> Path:
    """The folder of `models:/persona@champion`, `models:/persona/3`, or of a path, as it is.

    A registered bundle comes back whole: see `Registry.fetch`. Raises RegistryError, TrackingError,
    BundleError.
    """
    text = str(reference)
    if not text.startswith("models:"):
        return Path(reference)
    model, version = parse_reference(text)
    registry = Registry.open(config, model)
    return registry.fetch(registry.find(version))


def _check(folder: Path, version: Version) -> None:
    if not folder.is_dir():
        raise BundleError(
            f"{version.uri}: its files lay at {folder}, where this machine has none: bring them "
            "back, or use a tracking server that serves them"
        )
    try:
        if bundles.digest(folder) != version.digest:
            raise BundleError(
                f"{folder} is another bundle than was registered: use another version"
            )
        bundles.verify(folder)
    except BundleError as error:
        raise BundleError(f"{version.uri}: {error}") from None


def _lineage(folder: Path, promised: str, version: Version) -> Lineage:
    file = folder / LINEAGE
    if not file.is_file() or sha256_file(file) != promised:
        raise BundleError(f"{version.uri}: {file} is gone or is not what was registered")
    return Lineage.read(folder)


def _tags(bundle: Path, manifest: Manifest) -> dict[str, str]:
    """What `models list` shows without fetching the bundle."""
    contract = manifest.contract
    tags = {"data": contract.data_fingerprint, "metrics": json.dumps(contract.metrics)}
    if isinstance(contract, RankerContract):
        tags["kind"] = contract.kind
    else:
        tags |= {"labels": ",".join(contract.labels), "modality": contract.modality.value}
    if LINEAGE in manifest.files:
        tags["lineage"] = manifest.files[LINEAGE]
        tags["customers"] = str(len(Lineage.read(bundle).customers()))
    return tags


@contextmanager
def failures_named(store: TrackingStore) -> Iterator[None]:
    """MLflow's errors, and those of its way to the server, as one line; ours pass."""
    try:
        yield
    except Exception as error:
        # Not before: its import writes to the screen until `mlflow_client` has silenced it.
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        if not isinstance(error, (MlflowException, RequestException, OSError)):
            raise
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise TrackingError(f"the registry in {store.shown} fails: {said}") from None
