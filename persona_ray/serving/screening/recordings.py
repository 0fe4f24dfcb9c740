"""Sound of screened calls, as files of the workspace.

While a call goes on its two tracks grow (`tracks`), in a folder with the call's random name; what
is settled has been written. At its end they become one stereo file, sealed: the caller left, the
robot right. The folder is made when the call is first heard, so that whoever deletes the call
finds it.
"""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.config.privacy import Sealed
from persona_ray.errors import ServiceError
from persona_ray.files import write_whole
from persona_ray.serving.screening import tracks
from persona_ray.serving.screening.tracks import Journal, What

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from persona_ray.types import Samples
    from persona_ray.vault.seal import Vault

_FOLDER = "screening/recordings"
_PLACE = re.compile(rf"^{_FOLDER}/[A-Za-z0-9_-]{{1,2}}/[A-Za-z0-9_-]+$")
RECORDING = "call.ogg"
_BLOCK_S = 10
_TRIES = 10


class Recordings:
    """All recordings below a workspace."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def place(self, ref: str) -> str:
        """Where a call's sound lies, relative to the workspace."""
        return f"{_FOLDER}/{ref[:2]}/{ref}"

    def folder(self, place: str) -> Path:
        return self._workspace / place

    def every(self) -> Iterator[Path]:
        """Folders of all calls that have sound, finished or not."""
        yield from self._workspace.glob(f"{_FOLDER}/*/*")

    def file(self, place: str) -> Path | None:
        """The finished recording; None where there is none."""
        if not place:
            return None
        path = self.folder(place) / RECORDING
        return path if path.is_file() else None

    def delete(self, places: Iterable[str]) -> None:
        """Raises ServiceError where a file stays: what must be gone is not to seem gone."""
        for place in places:
            folder = self.folder(place)
            if not _PLACE.match(place):
                raise ServiceError(f"'{place}' is no place of a recording")
            for left in reversed(range(_TRIES)):
                # A call that goes on writes here until it hears of it.
                try:
                    shutil.rmtree(folder)
                except OSError as error:
                    if not left and folder.exists():
                        said = f"a recording cannot be deleted: {error.strerror}"
                        raise ServiceError(said) from None
                if not folder.exists():
                    break


class Recorder:
    """The two tracks of a call at `rate_hz`. What is added is written by `flush`, from a thread."""

    def __init__(self, folder: Path, rate_hz: int, vault: Vault, position: int = 0) -> None:
        """Goes on at sample `position`: what was written behind it was never settled."""
        self._folder = folder
        self._rate_hz = rate_hz
        self._vault = vault
        self._caller: list[Samples] = []
        self._robot: list[tuple[int, Samples]] = []
        self._caller_end = self._robot_end = self._written = position
        # Where the robot was interrupted: what was written behind it is taken back.
        self._cut: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(folder, vault)
        self._journal.add([(What.BACK, position, b"")])

    def hear(self, samples: Samples) -> None:
        """The caller's next samples (n,)."""
        self._caller.append(samples)
        self._caller_end += len(samples)

    def say(self, samples: Samples) -> None:
        """The robot's next samples (n,): they sound now, or after those before them."""
        start = max(self._robot_end, self._caller_end)
        self._robot.append((start, samples))
        self._robot_end = start + len(samples)

    def clear(self) -> None:
        """The robot was interrupted: what has not sounded yet never does."""
        now = self._caller_end
        self._robot = [
            (start, samples[: max(0, now - start)])
            for start, samples in self._robot
            if start < now or not len(samples)
        ]
        self._robot_end = min(self._robot_end, now)
        self._cut = now

    def flush(self) -> None:
        """Raises FileNotFoundError where the recording was deleted, VaultError without a key."""
        caller, self._caller = self._caller, []
        robot, self._robot = self._robot, []
        cut, self._cut = self._cut, None
        pieces = [] if cut is None else [(What.CUT, cut, b"")]
        if caller:
            heard = _pcm16(np.concatenate(caller))
            pieces.append((What.CALLER, self._written, heard))
            # Not the caller's end: it moves on while this thread writes.
            self._written += sum(map(len, caller))
        pieces += [(What.ROBOT, start, _pcm16(samples)) for start, samples in robot]
        self._journal.add(pieces)

    def finish(self) -> None:
        """One file of both tracks; nothing where nothing was heard."""
        self.flush()
        mix_down(self._folder, self._rate_hz, self._vault)


def mix_down(folder: Path, rate_hz: int, vault: Vault) -> None:
    """The tracks in `folder` become one file; of a call that nobody holds any more, too. Raises
    VaultError where a piece does not open: the tracks stay."""
    import soundfile

    paths = tracks.files(folder) if folder.is_dir() else []
    if not paths:
        return
    caller, robot = tracks.read(folder, vault)
    both = np.zeros((max(len(caller), len(robot)), 2), dtype=np.int16)
    both[: len(caller), 0] = caller
    both[: len(robot), 1] = robot
    if len(both):
        # In memory alone: nothing that is plain touches the disk.
        whole = io.BytesIO()
        with soundfile.SoundFile(
            whole, "w", rate_hz, channels=2, format="OGG", subtype="VORBIS"
        ) as file:
            # The encoder takes long blocks on its stack.
            for at in range(0, len(both), _BLOCK_S * rate_hz):
                file.write(both[at : at + _BLOCK_S * rate_hz])
        path = folder / RECORDING
        write_whole(path, vault.kept(Sealed.RECORDINGS, whole.getvalue(), about(path)))
    for path in paths:
        path.unlink()


def opened(path: Path, vault: Vault) -> bytes:
    """The sound of a finished recording, OGG. Raises OSError, VaultError."""
    return vault.open(path.read_bytes(), about(path))


def about(path: Path) -> str:
    """The place of a finished recording, see `persona_ray.vault.seal`."""
    return f"screening_recordings {path.parent.name} {path.name}"


def _pcm16(samples: Samples) -> bytes:
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
