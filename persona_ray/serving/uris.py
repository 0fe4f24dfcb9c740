"""Which recordings a client may name by URI: those below the configured roots, and nothing else.

fsspec opens whatever it is asked to: files of this machine, addresses of the inner network, files
in archives. So a URI must lie below a root after both are brought to one form.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from persona_ray.errors import RequestError

_LONGEST = 2048


def allowed_uri(uri: str, roots: Sequence[str], field: str) -> str:
    """`uri` in the form that is to be opened. Raises RequestError where no root allows it."""
    if not roots:
        raise RequestError(
            "uri.none_allowed",
            "this service opens no URIs",
            status=403,
            field=field,
            fix="upload the recording, or have its folder named in serving.limits.uri_roots",
        )
    # `::` chains file systems, backslashes and escapes hide steps upwards.
    strange = len(uri) > _LONGEST or not uri.isprintable() or "::" in uri or "\\" in uri
    plain = uri.removeprefix("file://")
    scheme, separator, rest = plain.partition("://")
    path = unquote(rest if separator else plain)
    if not strange and not {"..", "."} & set(path.split("/")):
        for root in roots:
            found = _remote(scheme, path, root, plain) if separator else _local(plain, root)
            if found:
                return found
    raise RequestError(
        "uri.not_allowed",
        f"{field} is below none of the roots that this service opens",
        status=403,
        field=field,
        fix=f"name a recording below {' or '.join(roots)}, or upload it",
    )


def _local(path: str, root: str) -> str | None:
    """The file with all links followed, so that none leads out of the root."""
    base = root.removeprefix("file://")
    if "://" in base or not posixpath.isabs(path):
        return None
    try:
        whole = Path(path).resolve()
        inside = whole.is_relative_to(Path(base).resolve())
        special = whole.exists() and not whole.is_file()
    except (OSError, RuntimeError):
        # RuntimeError: links in a circle.
        return None
    return str(whole) if inside and not special else None


def _remote(scheme: str, path: str, root: str, uri: str) -> str | None:
    root_scheme, separator, root_path = root.partition("://")
    if not separator or scheme != root_scheme:
        return None
    return uri if path.startswith(root_path.rstrip("/") + "/") else None
