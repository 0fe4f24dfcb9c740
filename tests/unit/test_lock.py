"""The lock: everything pinned with hashes, and what pyproject.toml wants is in it."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import REPOSITORY

_PINNED = re.compile(
    r"([A-Za-z0-9._-]+)(\[[\w,]+\])?==(\S+)( ; .+)? \\\n((?:    --hash=\S+(?: \\)?\n)+)"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
# What the lock is made with (`make lock`).
_EXTRAS = ("dev", "s3", "synth")


def locked() -> dict[str, Version]:
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    found: dict[str, Version] = {}
    rest = text
    for pinned in _PINNED.finditer(text):
        name, _, version, _, hashes = pinned.groups()
        assert len(_HASH.findall(hashes)) == hashes.count("--hash="), name
        assert canonicalize_name(name) not in found, name
        found[canonicalize_name(name)] = Version(version)
        rest = rest.replace(pinned.group(0), "", 1)
    # Nothing else stands in it: no address, no path, no option, nothing without a hash.
    assert rest.strip() == ""
    return found


def test_everything_is_pinned_with_hashes_and_is_what_is_asked_for() -> None:
    found = locked()
    assert len(found) > 100
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in _EXTRAS:
        wanted += project["optional-dependencies"][extra]
    for line in wanted:
        asked = Requirement(line)
        version = found[canonicalize_name(asked.name)]
        assert asked.specifier.contains(version, prereleases=True), (line, str(version))
