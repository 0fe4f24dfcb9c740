"""Sections of the service: where it listens, what it takes, how it grows."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from persona_ray.config.base import Section


class Layout(StrEnum):
    """Which models share a deployment."""

    WHOLE = "whole"
    FUSED = "fused"
    SPLIT = "split"


class LimitsConfig(Section):
    """What one request may ask for; more is refused with the limit in the message."""

    max_upload_mb: float = Field(64.0, gt=0, description="largest request body, in MB")
    max_clips: int = Field(64, ge=1, description="clips of one request")
    max_clip_s: float = Field(60.0, gt=0, description="longest clip (one sentence), in seconds")
    max_call_s: float = Field(3600.0, gt=0, description="longest call, in seconds")
    uri_roots: tuple[str, ...] = Field(
        (),
        description="folders whose recordings clients may name by URI: absolute paths, or fsspec "
        "URIs such as s3://recordings/calls; empty: clients upload everything",
    )
    decode_processes: int = Field(
        2,
        ge=0,
        le=64,
        description="processes in which a replica decodes recordings, apart from itself and "
        "confined; 0: in the replica itself, for recordings of one's own alone",
    )
    decode_memory_mb: int = Field(
        4096,
        ge=512,
        description="addresses of one such process, in MB; a call of an hour in stereo at 48 kHz "
        "takes 3000",
    )
    decode_s: float = Field(
        60.0,
        gt=0,
        description="processor time that decoding one recording may take, in seconds; by the clock "
        "four times as much",
    )
    request_timeout_s: float = Field(
        300.0, gt=0, description="a request that takes longer is answered with 408"
    )
    max_queued: int = Field(
        64, ge=1, description="requests waiting for one deployment; more are answered with 503"
    )
    max_live_calls: int = Field(64, ge=1, description="live calls of one ingress replica")
    max_jobs: int = Field(1000, ge=1, description="calls of one batch of calls")
    job_calls_at_once: int = Field(
        2, ge=1, description="calls of jobs that one ingress replica has under way at a time"
    )
    job_days: float = Field(
        7.0, gt=0, description="days after its end that a job and its answers are kept"
    )

    @field_validator("uri_roots")
    @classmethod
    def _roots_are_whole(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        for root in roots:
            scheme, separator, rest = root.partition("://")
            if scheme in ("http", "https") and separator:
                raise ValueError(
                    f"'{root}': web servers may lead on to any other address; name a folder or a "
                    "bucket, or let clients upload"
                )
            if not root.startswith("/") and not (separator and rest.strip("/")):
                raise ValueError(
                    f"'{root}' is no absolute path and no URI such as s3://recordings/calls"
                )
        return roots


class BatchConfig(Section):
    """Dynamic batches of a model's deployment."""

    max_s: float = Field(
        60.0, gt=0, description="audio seconds of one batch, padding included; one longer clip fits"
    )
    wait_s: float = Field(
        0.005, ge=0, description="how long the first of a batch waits for others, in seconds"
    )


class ScaleConfig(Section):
    """Replicas of one deployment and what each is given."""

    min_replicas: int = Field(1, ge=0, description="kept when nothing is asked")
    max_replicas: int = Field(1, ge=1, description="at most so many")
    ongoing_requests: float = Field(
        4.0, gt=0, description="requests per replica that autoscaling aims at"
    )
    upscale_delay_s: float = Field(
        5.0, ge=0, description="how long more must be asked before a replica is added, in seconds"
    )
    downscale_delay_s: float = Field(
        120.0, ge=0, description="how long less must be asked before one is taken, in seconds"
    )
    cpus: float = Field(0.5, ge=0, description="logical processors of one replica")
    gpus: float = Field(0.0, ge=0, description="GPUs of one replica, a share is fine")
    threads: int = Field(1, ge=1, description="processor threads of one replica's model")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> ScaleConfig:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} > max_replicas {self.max_replicas}: "
                "raise max_replicas, or lower min_replicas"
            )
        return self


class IngressScaleConfig(ScaleConfig):
    """Replicas of the ingress, which waits for others most of the time."""

    ongoing_requests: float = Field(
        32.0, gt=0, description="requests per replica that autoscaling aims at"
    )


class SpeechScaleConfig(ScaleConfig):
    """Replicas of what holds the speech encoder, and most of the work."""

    max_replicas: int = Field(2, ge=1, description="at most so many")


class LiveConfig(Section):
    """Live calls."""

    end_gap_s: float = Field(
        0.9,
        ge=0.5,
        description="silence that ends an utterance, in seconds; from 0.9 on (twice "
        "cut.sentence_gap_s) sentences are those of the recorded call, less answers sooner",
    )
    max_utterance_s: float = Field(
        15.0, ge=2, description="an utterance without a pause is cut at this length, in seconds"
    )
    partial_every_s: float = Field(
        1.0,
        ge=0,
        description="seconds of speech between two partial texts (sentences go first); 0: none",
    )
    idle_timeout_s: float = Field(
        30.0, gt=0, description="a line that sends no audio for so long is closed, resumably"
    )
    resume_s: float = Field(
        600.0,
        ge=60,
        description="how long a live call that broke off can be gone on with, and its texts are "
        "kept, in seconds",
    )
    send_queue: int = Field(
        256, ge=8, description="events waiting for a slow client; then it is closed, resumably"
    )


class KeysConfig(Section):
    """Who may ask."""

    required: bool = Field(
        True, description="requests need a bearer key; false only where nobody else can connect"
    )
    requests_per_minute: int = Field(600, ge=1, description="of a key without a limit of its own")


class TlsConfig(Section):
    """TLS of the service's port; empty: none, for this machine or behind what ends it. On a cluster
    that `serve deploy` configures, the same files stand in the YAML's `http_options`."""

    certificate: str = Field("", description="PEM file with the certificate and its chain")
    key: str = Field("", description="PEM file with its key, read by nobody else")
    client_ca: str = Field(
        "", description="PEM file with the CAs whose certificates clients must show; empty: none"
    )

    @model_validator(mode="after")
    def _whole(self) -> TlsConfig:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key stand together: name both files, or none")
        if self.client_ca and not self.certificate:
            raise ValueError("client_ca without certificate and key: name all three")
        return self


class RolloutConfig(Section):
    """A challenger beside the champion."""

    challenger: str = Field("", description="bundle: a folder or models:/persona@challenger")
    shadow_share: float = Field(
        0.0, ge=0, le=1, description="share of requests that the challenger sees, unanswered"
    )
    canary_share: float = Field(
        0.0, ge=0, le=1, description="share of requests that the challenger answers"
    )
    min_requests: int = Field(50, ge=1, description="seen before anything is decided")
    significance: float = Field(
        0.01, gt=0, lt=0.5, description="of the tests by which a canary is rolled back"
    )
    max_disagreement: float = Field(
        0.3, ge=0, le=1, description="share of other colours than the champion's that is borne"
    )
    max_slowdown: float = Field(1.5, ge=1, description="median latency against the champion's")
    max_shadows: int = Field(
        4, ge=1, description="comparisons under way in one ingress replica; more are left out"
    )
    patience_s: float = Field(
        5.0,
        gt=0,
        description="a canary that has not answered after so many seconds: the champion is asked "
        "too, and the first answer is taken",
    )
    sync_s: float = Field(
        5.0, gt=0, description="seconds after which ingress replicas tell each other what they saw"
    )
    poll_s: float = Field(
        30.0, gt=0, description="seconds between two looks whether an alias names another version"
    )


class ServingConfig(Section):
    """The service."""

    host: str = Field("127.0.0.1", description="address it listens on")
    port: int = Field(8600, ge=1, le=65535, description="port it listens on")
    bundle: str = Field(
        "",
        description="a folder or models:/persona@champion; empty: the registry's champion, or "
        "where there is none the workspace's bundle",
    )
    layout: Layout = Field(
        Layout.WHOLE,
        description="whole: recogniser, encoders and classifier in each replica, quickest on one "
        "machine; fused: the recogniser apart; split: each model apart. What holds the speech "
        "encoder scales as serving.speech says",
    )
    abstain_below: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="no colour is named where the confidence is below this; the evaluation "
        "report's table of abstaining says what each value gives and costs",
    )
    limits: LimitsConfig = LimitsConfig()
    batch: BatchConfig = BatchConfig()
    ingress: IngressScaleConfig = IngressScaleConfig()
    asr: ScaleConfig = ScaleConfig()
    speech: SpeechScaleConfig = SpeechScaleConfig()
    text: ScaleConfig = ScaleConfig()
    classifier: ScaleConfig = ScaleConfig()
    live: LiveConfig = LiveConfig()
    keys: KeysConfig = KeysConfig()
    tls: TlsConfig = TlsConfig()
    rollout: RolloutConfig = RolloutConfig()
