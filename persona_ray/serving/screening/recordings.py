"""Sound of screened calls, as files of the workspace.

While a call goes on its two tracks grow as raw samples, in a folder with the call's random name;
what is settled has been written. At its end they become one stereo file: the caller left, the
robot right. The folder is made when the call is first heard, so that whoever deletes the call
finds it.
"""

from __future__ import annotations

import re
import shutil
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from persona_ray.types import Samples

_FOLDER = "screening/recordings"
_PLACE = re.compile(rf"^{_FOLDER}/[A-Za-z0-9_-]{{1,2}}/[A-Za-z0-9_-]+$")
_CALLER, _ROBOT = "caller.pcm", "robot.pcm"
RECORDING = "call.ogg"
_SAMPLE_BYTES = 2
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

    def __init__(self, folder: Path, rate_hz: int, position: int = 0) -> None:
        """Goes on at sample `position`: what was written behind it was never settled."""
        self._folder = folder
        self._rate_hz = rate_hz
        self._caller: list[Samples] = []
        self._robot: list[tuple[int, Samples]] = []
        self._caller_end = self._robot_end = position
        # Where the robot was interrupted: what was written behind it is taken back.
        self._cut: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for name in (_CALLER, _ROBOT):
            with (folder / name).open("ab") as file:
                file.truncate(min(file.tell(), position * _SAMPLE_BYTES))

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
        caller, self._caller = self._caller, []
        robot, self._robot = self._robot, []
        cut, self._cut = self._cut, None
        with (self._folder / _CALLER).open("ab") as file:
            for samples in caller:
                file.write(_pcm16(samples))
        with (self._folder / _ROBOT).open("r+b") as file:
            if cut is not None:
                file.truncate(min(file.seek(0, SEEK_END), cut * _SAMPLE_BYTES))
            for start, samples in robot:
                file.seek(start * _SAMPLE_BYTES)
                file.write(_pcm16(samples))

    def finish(self) -> None:
        """One file of both tracks; nothing where nothing was heard."""
        self.flush()
        mix_down(self._folder, self._rate_hz)


def mix_down(folder: Path, rate_hz: int) -> None:
    """The tracks in `folder` become one file; of a call that nobody holds any more, too."""
    import soundfile

    paths = folder / _CALLER, folder / _ROBOT
    if not all(path.is_file() for path in paths):
        return
    caller, robot = (np.fromfile(path, dtype="<i2") for path in paths)
    both = np.zeros((max(len(caller), len(robot)), 2), dtype=np.int16)
    both[: len(caller), 0] = caller
    both[: len(robot), 1] = robot
    if len(both):
        draft = folder / f".{RECORDING}"
        with soundfile.SoundFile(
            draft, "w", rate_hz, channels=2, format="OGG", subtype="VORBIS"
        ) as file:
            # The encoder takes long blocks on its stack.
            for at in range(0, len(both), _BLOCK_S * rate_hz):
                file.write(both[at : at + _BLOCK_S * rate_hz])
        draft.replace(folder / RECORDING)
    for path in paths:
        path.unlink()


def _pcm16(samples: Samples) -> bytes:
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
