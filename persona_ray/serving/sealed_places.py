"""Everything that the vault's keys seal, place by place, and how it comes under a new key."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from persona_ray.config.privacy import Sealed
from persona_ray.corpus.sealing import SealedCorpus
from persona_ray.errors import VaultError
from persona_ray.files import rewrite_whole, settle
from persona_ray.serving.jobs import upload_place, uploads_dir
from persona_ray.serving.screening import tracks
from persona_ray.serving.screening.recordings import RECORDING, Recordings, about
from persona_ray.vault.keys import KeyRing, new_key
from persona_ray.vault.seal import TOLD_BYTES, Vault, sealed_by

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.progress import Progress
    from persona_ray.store import Store

# After so long all processes seal by a new key: a second on one machine, and what a shared file
# system may hide of a change.
SETTLED_S = 120.0
_FOLLOWED_S = 2.0


class Held(Protocol):
    """What of one kind lies on the disk or in the database."""

    @property
    def name(self) -> str: ...

    def by_key(self) -> Counter[str]:
        """How many each key has sealed; empty: plain."""
        ...


class Place(Held, Protocol):
    """What can be brought under another key."""

    @property
    def seals_plain(self) -> bool:
        """Whether `reseal` seals what is plain, too."""
        ...

    def reseal(self, key_id: str) -> Iterator[int]:
        """Bring them under the key that seals now; how many at a time."""
        ...


class SealedFiles:
    """Recordings, each a file."""

    def __init__(
        self,
        name: str,
        files: Callable[[], Iterator[Path]],
        place: Callable[[Path], str],
        vault: Vault,
    ) -> None:
        self.name = name
        self._files = files
        self._place = place
        self._vault = vault

    @property
    def seals_plain(self) -> bool:
        return self._vault.seals(Sealed.RECORDINGS)

    def by_key(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for path in self._files():
            with suppress(FileNotFoundError), path.open("rb") as file:
                found[sealed_by(file.read(TOLD_BYTES))] += 1
        return found

    def reseal(self, key_id: str) -> Iterator[int]:
        """See Place. A file that is deleted meanwhile stays so; one that does not open, too."""
        for path in self._files():
            # Of a run that was killed between the new file and the end of the old.
            settle(path)
            with suppress(FileNotFoundError):
                kept = path.read_bytes()
                if not _moves(sealed_by(kept), key_id, self):
                    continue
                resealed = self._vault.resealed(kept, self._place(path))
                if resealed and rewrite_whole(path, resealed):
                    yield 1


class OpenTracks:
    """Recordings of calls that go on: they come under the newest key when they end. See Held."""

    name = "recordings of calls that have not ended"

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def by_key(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for folder in self._recordings.every():
            with suppress(FileNotFoundError):
                keys = [tracks.sealed_by_keys(path) for path in tracks.files(folder)]
                found.update(set().union(*keys))
        return found


def places_of(config: RunConfig, store: Store, vault: Vault) -> tuple[Place, ...]:
    """All places of a workspace and its store, but for calls that go on."""
    recordings = Recordings(config.workspace)
    return (
        store.sealed_prints,
        SealedFiles(
            "recordings",
            lambda: (path for one in recordings.every() for path in one.glob(RECORDING)),
            about,
            vault,
        ),
        SealedFiles(
            "uploads of jobs",
            lambda: uploads_dir(config).glob("*/[0-9]*"),
            upload_place,
            vault,
        ),
        SealedCorpus(config.corpus_dir, vault),
    )


def rotate(
    ring: KeyRing,
    places: Sequence[Place],
    progress: Progress,
    anew: bool = False,
    followed_s: float = _FOLLOWED_S,
) -> str:
    """Bring all that can be under one key, which is returned: a new one, or, where another key
    still seals something (a rotation was killed, the ring was changed by hand) and not `anew`, the
    one that seals now. Others may read and write meanwhile.

    Raises VaultError where the ring cannot be written, or something does not open: it stays.
    """
    is_first = not ring.all()
    key = ring.primary()
    under_others = any(_left(place, key.key_id, others=True) for place in places)
    if not is_first and (anew or not under_others):
        key = new_key()
        ring.add(key)
    begun = time.monotonic()
    left = sum(_left(place, key.key_id) for place in places)
    with progress.stage(f"sealing by key {key.key_id}", left) as stage:
        for again in (False, True):
            if again:
                # By now all others seal by the new key: what they wrote before is taken, too.
                time.sleep(max(0.0, begun + followed_s - time.monotonic()))
            for place in places:
                for done in place.reseal(key.key_id):
                    stage.advance(done)
    stays = {place.name: _left(place, key.key_id) for place in places}
    named = ", ".join(f"{count} of {name}" for name, count in stays.items() if count)
    if named:
        raise VaultError(
            f"{named} stay as they are: they do not open, because their key is missing or they are "
            "damaged; `persona-ray vault status` names the keys"
        )
    return key.key_id


def drop(ring: KeyRing, places: Sequence[Held], key_id: str, now: datetime | None = None) -> None:
    """Take a key out of the ring. Raises VaultError while it seals something, or may."""
    keys = ring.all()
    if key_id not in [key.key_id for key in keys]:
        raise VaultError(f"there is no key '{key_id}': `persona-ray vault status` names them")
    if key_id == keys[-1].key_id:
        raise VaultError(f"key {key_id} seals now: `persona-ray vault rotate` first")
    age_s = ((now or datetime.now(UTC)) - keys[-1].made_at).total_seconds()
    if age_s < SETTLED_S:
        raise VaultError(
            f"key {keys[-1].key_id} is {age_s:.0f} s old, and a replica may not know it yet: "
            f"drop {key_id} in {SETTLED_S - age_s:.0f} s"
        )
    held = {place.name: place.by_key()[key_id] for place in places}
    named = ", ".join(f"{count} of {name}" for name, count in held.items() if count)
    if named:
        raise VaultError(
            f"key {key_id} still seals {named}: `persona-ray vault rotate` first; calls that go on "
            "end by themselves while the service runs"
        )
    ring.drop(key_id)


def _moves(sealed_by_key: str, key_id: str, place: Place) -> bool:
    if not sealed_by_key:
        return place.seals_plain
    return sealed_by_key != key_id


def _left(place: Place, key_id: str, others: bool = False) -> int:
    """What is not under the key and could be; with `others`, only what another key seals."""
    found = place.by_key()
    return sum(
        count for one, count in found.items() if _moves(one, key_id, place) and (one or not others)
    )
