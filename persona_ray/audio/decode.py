"""Audio by URI, decoded by libsndfile, with every way a file can be bad named.

Lengths are looked at in the header before anything is decoded, so that a file that is too long
costs a few reads. Decoding goes from the opened file: the encoded bytes are never in memory as a
whole.
"""

from __future__ import annotations

import io
import posixpath
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from persona_ray.audio.container import ogg_is_closed, wav_is_unfinished, wav_share
from persona_ray.errors import (
    ConfigError,
    EmptyFileError,
    NotAudioError,
    StorageAwayError,
    TooLongError,
    TruncatedError,
    UnreadableError,
)
from persona_ray.remote import Fault, fault_of, filesystem, one_line

if TYPE_CHECKING:
    import soundfile
    from numpy.typing import NDArray

_BLOCK_FRAMES = 4_096
# libsndfile's answer where a header leaves the length open.
_UNKNOWN_FRAMES = 2**62
_MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 192_000
MAX_CHANNELS = 32
# Beyond stereo at 48 kHz for the whole permitted time, a file is a decompression bomb.
BUDGET_SAMPLES_PER_S = 2 * 48_000
CUT_SHORT = "cut_short"
_TELEPHONE_CODES = {"ULAW": "mulaw", "ALAW": "alaw", "GSM610": "gsm"}


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """`samples` float32 (channels, frames) in [-1, 1] at `sample_rate_hz`.

    `flags` say what is unusual: `mulaw`, `alaw`, `gsm` (telephone coding), `cut_short` (a little
    is missing: at the end, or where an Ogg is damaged), `rescaled` (float samples beyond 1),
    `mended_samples` (NaN or infinite samples became 0).
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    flags: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> float:
        return float(self.samples.shape[1] / self.sample_rate_hz)


def resolve_uri(uri: str, root: str = "") -> str:
    """`uri` itself when it is a URI or absolute path, else the path under `root`."""
    if "://" in uri or posixpath.isabs(uri) or not root:
        return uri
    return root.rstrip("/") + "/" + uri


def read_audio(
    uri: str, root: str = "", max_s: float = 7200.0, truncated_below: float = 0.9
) -> DecodedAudio:
    """Open `uri` (any fsspec URI or path; relative ones under `root`) and decode it.

    Raises UnreadableError, EmptyFileError, NotAudioError, TooLongError (longer than `max_s`) or
    TruncatedError (less than the share `truncated_below` of what the container promises, or an
    Ogg stream without its end); StorageAwayError where the storage is at fault and not the file,
    ConfigError where its driver is not installed.
    """
    full = resolve_uri(uri, root)
    with open_audio(full) as file:
        return decode_file(file, full, max_s, truncated_below)


def open_audio(uri: str) -> IO[bytes]:
    """The file at `uri`, an absolute path or any fsspec URI. Raises UnreadableError,
    StorageAwayError, ConfigError as read_audio does."""
    try:
        files, path = filesystem(uri)
        file: IO[bytes] = files.open(path, "rb")
    except ConfigError:
        raise
    except Exception as error:
        raise unreadable(f"{uri} cannot be opened", error, uri) from None
    return file


def decode_bytes(
    data: bytes, name: str, max_s: float = 7200.0, truncated_below: float = 0.9
) -> DecodedAudio:
    """Decode a file that is already in memory; `name` stands in the messages. As read_audio."""
    return decode_file(io.BytesIO(data), name, max_s, truncated_below)


class Watched:
    """A file for libsndfile's callbacks, through which no exception can pass: it is kept here."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: Exception | None = None

    def read(self, count: int = -1) -> bytes:
        try:
            return self._file.read(count) if self.error is None else b""
        except Exception as error:  # network back ends raise what they like
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OSError):
            # Damaged headers make libsndfile seek before the start of the file.
            return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def check(self, name: str) -> None:
        if self.error is not None:
            raise unreadable(f"{name} cannot be read", self.error, name)


def decode_file(raw: IO[bytes], name: str, max_s: float, truncated_below: float) -> DecodedAudio:
    """Decode a file that is opened already, and can be sought in. As read_audio."""
    import soundfile

    size = raw.seek(0, io.SEEK_END)
    if size == 0:
        raise EmptyFileError(f"{name} has no bytes")
    file = Watched(raw)
    with _open(file, name) as handle:
        _check_shape(handle, name, max_s)
        rate_hz, promised = handle.samplerate, handle.frames
        container, coding = handle.format, handle.subtype
        limit = int(max_s * rate_hz)
        damaged = False
        if promised >= _UNKNOWN_FRAMES:
            samples = _read_blocks(handle, limit, name)
            promised = len(samples)
        else:
            try:
                buffer = np.empty((promised, handle.channels), dtype=np.float32)
                samples = handle.read(out=buffer)
            except soundfile.LibsndfileError:
                damaged = True
    if damaged:
        # The decoder says that it failed, not where: go again in small steps.
        with _open(file, name) as handle:
            samples = _read_blocks(handle, limit, name)
    frames = len(samples)
    share = min(frames / promised if promised else 1.0, wav_share(file, size))
    open_ended = container == "OGG" and not ogg_is_closed(file, size)
    unfinished = frames == 0 and wav_is_unfinished(file, size)
    # A connection that was lost looks like each of these.
    file.check(name)
    if share < truncated_below:
        raise TruncatedError(
            f"{name} ends after {frames / rate_hz:.1f} s: {share:.0%} of what its header promises"
        )
    if open_ended:
        raise TruncatedError(
            f"{name} ends after {frames / rate_hz:.1f} s in the middle of its Ogg stream"
        )
    if unfinished:
        raise TruncatedError(f"{name} was never finished: its header has no length")
    if frames == 0:
        raise EmptyFileError(f"{name} is a {container} file with no audio in it")
    flags = [_TELEPHONE_CODES[coding]] if coding in _TELEPHONE_CODES else []
    if share < 1.0:
        flags.append(CUT_SHORT)
    return DecodedAudio(_sane(samples, name, flags).T, rate_hz, tuple(flags))


def _open(file: Watched, name: str) -> soundfile.SoundFile:
    import soundfile

    file.seek(0)
    try:
        handle = soundfile.SoundFile(file)
        # After each read soundfile seeks to where the read ended, which fails in a stream without
        # a length and makes decoders start anew.
        handle.seekable = lambda: False
        return handle
    except (soundfile.LibsndfileError, TypeError) as error:
        file.seek(0)
        begun = file.read(4) == b"OggS" and not ogg_is_closed(file, file.seek(0, io.SEEK_END))
        file.check(name)
        if begun:
            raise TruncatedError(f"{name} ends within the first pages of its Ogg stream") from None
        why = getattr(error, "error_string", None) or one_line(error)
        raise NotAudioError(f"{name} is no audio that can be decoded: {why}") from None


def _check_shape(handle: soundfile.SoundFile, name: str, max_s: float) -> None:
    """Refuse by the header alone what is too long or cannot be a call."""
    rate_hz, channels, frames = handle.samplerate, handle.channels, handle.frames
    if not _MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise NotAudioError(
            f"{name} claims {rate_hz} Hz: calls have {_MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        )
    if channels > MAX_CHANNELS:
        raise NotAudioError(f"{name} claims {channels} channels: at most {MAX_CHANNELS} are read")
    if frames >= _UNKNOWN_FRAMES:
        return
    if frames > max_s * rate_hz:
        raise TooLongError(
            f"{name} lasts {frames / rate_hz:.0f} s: more than the limit of {max_s:g} s "
            "(archive.max_call_s)"
        )
    if frames * channels > max_s * BUDGET_SAMPLES_PER_S:
        raise TooLongError(
            f"{name} holds {channels} channels of {frames} samples: more than two channels at "
            f"48 kHz over {max_s:g} s (archive.max_call_s)"
        )


def _read_blocks(handle: soundfile.SoundFile, limit: int, name: str) -> NDArray[np.float32]:
    """Samples (frames, channels) up to the end or to where the decoder fails."""
    import soundfile

    blocks = [np.empty((0, handle.channels), dtype=np.float32)]
    frames = 0
    while True:
        try:
            block = handle.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            break
        if not len(block):
            break
        blocks.append(block)
        frames += len(block)
        if frames > limit:
            raise TooLongError(
                f"{name} lasts more than the limit of {limit / handle.samplerate:g} s "
                "(archive.max_call_s)"
            )
    return np.concatenate(blocks)


def _sane(samples: NDArray[np.float32], name: str, flags: list[str]) -> NDArray[np.float32]:
    """Finite samples in [-1, 1]; what was mended is added to `flags`. Float files hold anything."""
    peak = float(np.max(np.abs(samples)))
    if not np.isfinite(peak):
        finite = np.isfinite(samples)
        if not finite.any():
            raise NotAudioError(f"{name} holds no finite sample")
        samples = np.where(finite, samples, np.float32(0))
        peak = float(np.max(np.abs(samples)))
        flags.append("mended_samples")
    if peak > 1.0:
        samples = samples / np.float32(peak)
        flags.append("rescaled")
    return samples


def unreadable(what: str, error: Exception, uri: str) -> UnreadableError:
    """What a storage said, as the error that tells whether the file or the storage is at fault."""
    said = f"{what}: {one_line(error)}"
    if "://" not in uri or uri.startswith("file:"):
        return UnreadableError(said)
    fault = fault_of(error, uri)
    if fault in (Fault.ABSENT, Fault.ADDRESS):
        return UnreadableError(said)
    return StorageAwayError(said, transient=fault is Fault.AWAY)
