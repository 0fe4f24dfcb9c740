"""The section of personal data: how it is sealed, how long it is kept, who signs what was done."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from persona_ray.config.base import Section


class Sealed(StrEnum):
    """What is encrypted at rest."""

    VOICEPRINTS = "voiceprints"
    RECORDINGS = "recordings"
    CLIPS = "clips"


class VaultConfig(Section):
    """Encryption at rest. The keys themselves never stand in a configuration."""

    keys: str = Field(
        "",
        description="file of the encryption keys, its owner's alone; empty: that named by "
        "PERSONA_RAY_VAULT_KEYS, else vault.keys in the workspace, made where there is none",
    )
    sealed: tuple[Sealed, ...] = Field(
        (Sealed.VOICEPRINTS, Sealed.RECORDINGS),
        description="what is encrypted at rest: voiceprints (of the database), recordings (of "
        "screened calls, uploads of jobs), clips (audio and text of the corpus)",
    )


class AuditConfig(Section):
    """The log of what was done with personal data."""

    keys: str = Field(
        "",
        description="folder of the keys that sign receipts and the audit log, and of the log's "
        "head; all replicas share it; empty: keys/installation in the workspace",
    )


class RetentionConfig(Section):
    """How long what has no term of its own is kept. Recordings and transcripts of screened calls
    have one (screening.records.keep_days), and so have assisted calls with pushes and feedback
    (assist.records.keep_days), answers of jobs (serving.limits.job_days), numbers and voices."""

    clips_days: float = Field(
        0.0,
        ge=0,
        description="days after the build that cut them that clips, with all that was made of "
        "them, and uncut calls of the corpus are kept; 0: until they are forgotten",
    )
    annotations_days: float = Field(
        0.0, ge=0, description="days that annotations are kept; 0: until they are forgotten"
    )
    recognitions_days: float = Field(
        0.0,
        ge=0,
        description="days that colours of archived calls and customers are kept, in the store and "
        "in recognitions/; 0: until they are forgotten",
    )
    audit_days: float = Field(
        0.0,
        ge=0,
        description="days that entries of the audit log are kept; what went is told by an entry, "
        "and the rest still verifies; 0: for good",
    )


class PrivacyConfig(Section):
    """Personal data."""

    vault: VaultConfig = VaultConfig()
    audit: AuditConfig = AuditConfig()
    retention: RetentionConfig = RetentionConfig()
