"""Receipts: what was deleted of a person, what remains and why, signed by the installation.

    <workspace>/privacy/receipts/<id>.json

They name a person by a keyed digest. Whoever has the installation's keys can tell whether one is of
somebody; nobody can tell from it who that is. Customers of the receipts in this folder are not
taken out of the archive again.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from persona_ray.errors import AuditError
from persona_ray.files import write_whole
from persona_ray.store.audit_seal import RECEIPTS
from persona_ray.vault.statements import Signed, Statement, plain

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.store.audit_seal import AuditSeal


class Learned(Statement):
    """A bundle that learned of a person, or might have: `unknown` says why nobody knows."""

    bundle: str
    clips: int
    unknown: str = ""
    marked: bool = Field(description="whether the registry's version is marked")


class Remains(Statement):
    """What is not deleted, and why."""

    place: str
    why: str


class Receipt(Statement):
    """`person`: digest by kind. `deleted`: how many things by place."""

    type: Literal["forgetting receipt"] = "forgetting receipt"
    receipt: str
    person: dict[str, str]
    asked_at: datetime
    done_at: datetime
    product: str
    actor: str
    deleted: dict[str, int]
    bundles: list[Learned]
    remains: list[Remains]


def write_receipt(config: RunConfig, seal: AuditSeal, receipt: Receipt) -> Path:
    """Sign it and keep it; where."""
    path = config.workspace / RECEIPTS / f"{receipt.receipt}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, seal.keys.sign(plain(receipt)).model_dump_json(indent=1) + "\n")
    return path


def read_receipt(path: Path, seal: AuditSeal) -> Receipt:
    """Raises AuditError for what is no receipt, was changed, or is another installation's."""
    try:
        signed = Signed.model_validate_json(path.read_bytes())
        seal.check(signed)
        return Receipt.model_validate(signed.statement)
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise AuditError(f"{path} is no receipt: give the file that `forget` wrote") from None
    except AuditError as error:
        raise AuditError(f"{path}: {error}") from None
