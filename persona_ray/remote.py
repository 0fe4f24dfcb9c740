"""Files behind fsspec: whose fault it is where they cannot be had, and how long one waits."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeVar

from persona_ray.errors import ConfigError, StorageAwayError, StorageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ResultT = TypeVar("ResultT")

# Beside the few seconds that botocore tries by itself: a storage that is started anew is back.
WAITS_S = (2.0, 4.0, 8.0, 16.0)
# What their drivers are installed with.
_EXTRAS = {"s3": "s3", "s3a": "s3"}
# Each waits at most 15 s for an answer.
_S3FS_TRIES, _BOTOCORE_TRIES = 2, 3
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs"})
# Full or read-only, here or there: nothing that passes in half a minute.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_GONE, _REFUSED = frozenset({404, 410}), frozenset({401, 403})


class Fault(Enum):
    """What is wrong: there is no such file; its address can be none; the keys do not open it, the
    bucket is not there or a disk is full; the storage or the way to it fails."""

    ABSENT = auto()
    ADDRESS = auto()
    REFUSED = auto()
    AWAY = auto()


def filesystem(uri: str, key: str = "") -> tuple[AbstractFileSystem, str]:
    """The file system of `uri`, which remembers no listings, and the path in it.

    Nothing is asked of it yet. Raises ConfigError where its driver is not installed, ValueError for
    a scheme that nobody knows: ConfigError where the configuration's `key` names it.
    """
    from fsspec.core import url_to_fs

    of_s3 = uri.partition("://")[0] in _EXTRAS
    options = {"config_kwargs": _s3_tries()} if of_s3 else {}
    try:
        files, path = url_to_fs(uri, use_listings_cache=False, **options)
    except ImportError:
        raise ConfigError(f"{key or uri}: {missing_driver(uri)}") from None
    except ValueError as error:
        if not key:
            raise
        raise ConfigError(f"{key} '{uri}' is no address of a storage: {one_line(error)}") from None
    if of_s3:
        files.retries = _S3FS_TRIES
    return files, path


def _s3_tries() -> dict[str, object]:
    """s3fs asks 5 times what botocore asks 5 times: a storage that hangs would cost minutes."""
    if "AWS_MAX_ATTEMPTS" in os.environ:
        return {}
    mode = os.environ.get("AWS_RETRY_MODE", "standard")
    return {"retries": {"total_max_attempts": _BOTOCORE_TRIES, "mode": mode}}


def missing_driver(uri: str) -> str:
    """How to get it."""
    scheme = uri.partition("://")[0]
    extra = _EXTRAS.get(scheme)
    fix = f"pip install 'persona-ray[{extra}]'" if extra else f"install fsspec's for {scheme}"
    return f"the driver for {scheme}:// is not installed: {fix}"


def fault_of(error: Exception, uri: str) -> Fault:
    """Of what a back end of fsspec raised on `uri`. They raise what their network library raises:
    what is not known to be about the file is about the storage."""
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in _GONE:
        return _fault_of_absence(uri)
    if isinstance(error, (IsADirectoryError, NotADirectoryError, ValueError)):
        return Fault.ADDRESS
    names = {kind.__name__ for kind in type(error).__mro__}
    number = getattr(error, "errno", None)
    if "ParamValidationError" in names or number == errno.ENAMETOOLONG:
        return Fault.ADDRESS
    # EINVAL is what s3fs makes of keys that sign wrongly.
    refused = isinstance(error, PermissionError) or number in {errno.EINVAL, *_FULL}
    if refused or status in _REFUSED or "NoCredentialsError" in names:
        return Fault.REFUSED
    return Fault.AWAY


def patiently(work: Callable[[], ResultT], waits_s: Sequence[float] = WAITS_S) -> ResultT:
    """What `work` gives, tried again after each wait while its storage is away for the moment."""
    for wait_s in waits_s:
        try:
            return work()
        except (StorageError, StorageAwayError) as error:
            if not error.transient:
                raise
        time.sleep(wait_s)
    return work()


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _fault_of_absence(uri: str) -> Fault:
    """A key that is not there and a bucket that is not there are the same answer."""
    scheme, separator, path = uri.partition("://")
    if not separator or scheme not in _BUCKETS:
        return Fault.ABSENT
    files: Any = filesystem(uri)[0]
    try:
        there = files.exists(path.partition("/")[0])
    except Exception as error:
        # Asked without an address: it is the storage that answers, or does not.
        return fault_of(error, "")
    return Fault.ABSENT if there else Fault.REFUSED
