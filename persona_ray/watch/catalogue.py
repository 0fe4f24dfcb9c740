"""Every figure that services and jobs tell. docs/watching.md shows this list, and dashboards and
alert rules may use no other name of ours: tests hold them to it."""

from __future__ import annotations

from persona_ray.watch.instruments import SECONDS, SIZES, Instrument, Kind

CONFIDENCE_BINS = 15

REQUESTS = Instrument(
    "persona_requests_total", Kind.COUNTER, "requests", ("route", "method", "status")
)
REQUEST_SECONDS = Instrument(
    "persona_request_seconds", Kind.HISTOGRAM, "time of a request", ("route",), SECONDS
)
REFUSED = Instrument("persona_refused_total", Kind.COUNTER, "requests refused, by code", ("code",))
STAGE_SECONDS = Instrument(
    "persona_stage_seconds",
    Kind.HISTOGRAM,
    "time of a stage of an answer",
    ("stage",),
    SECONDS,
)
BATCH_SIZE = Instrument(
    "persona_batch_size", Kind.HISTOGRAM, "items of a dynamic batch", ("stage",), SIZES
)
AUDIO_SECONDS = Instrument(
    "persona_audio_seconds_total", Kind.COUNTER, "seconds of audio recognised", ("kind",)
)
COLOURS = Instrument(
    "persona_colours_total", Kind.COUNTER, "answers, by colour (none: nothing usable)", ("colour",)
)
CONFIDENCE = Instrument(
    "persona_confidence",
    Kind.HISTOGRAM,
    "probability of an answer's primary colour, per sentence",
    (),
    tuple((number + 1) / CONFIDENCE_BINS for number in range(CONFIDENCE_BINS)),
)
LIVE_CALLS = Instrument("persona_live_calls", Kind.GAUGE, "live calls held now")
ROLLOUT = Instrument(
    "persona_rollout_total",
    Kind.COUNTER,
    "requests beside a challenger, by what became of them, and rolled_back",
    ("event",),
)
SCREENED = Instrument(
    "persona_screened_total", Kind.COUNTER, "screened calls that ended, by outcome", ("outcome",)
)
DECISION_SECONDS = Instrument(
    "persona_screening_decision_seconds",
    Kind.HISTOGRAM,
    "from the start of a call to what it is taken for",
    (),
    SECONDS,
)
ASSIST_PUSHES = Instrument(
    "persona_assist_pushes_total",
    Kind.COUNTER,
    "pushes that were sent, seen, dropped as late, or failed",
    ("state",),
)
ASSIST_FEEDBACK = Instrument(
    "persona_assist_feedback_total", Kind.COUNTER, "feedback on pushes, by action", ("action",)
)
SERVICE = (
    REQUESTS,
    REQUEST_SECONDS,
    REFUSED,
    STAGE_SECONDS,
    BATCH_SIZE,
    AUDIO_SECONDS,
    COLOURS,
    CONFIDENCE,
    LIVE_CALLS,
    ROLLOUT,
    SCREENED,
    DECISION_SECONDS,
    ASSIST_PUSHES,
    ASSIST_FEEDBACK,
)


def _drift(name: str, of: str) -> Instrument:
    return Instrument(
        f"persona_{name}_drift",
        Kind.GAUGE,
        f"stability index of {of}",
        # With a label it is not there before it is known: 0 would say that there is no drift.
        ("against",),
    )


CONFIDENCE_DRIFT = _drift("confidence", "the last answers' confidence")
COLOUR_DRIFT = _drift("colour", "the last answers' colours")
LEVEL_DRIFT = _drift("level", "the last sentences' level in dBFS")
SILENCE_DRIFT = _drift("silence", "the last sentences' share of near silence")
CLIPPING_DRIFT = _drift("clipping", "the last sentences' share of clipped samples")
SPEECH_RATE_DRIFT = _drift("speech_rate", "the last sentences' characters per second")
DRIFTS = (
    CONFIDENCE_DRIFT,
    COLOUR_DRIFT,
    LEVEL_DRIFT,
    SILENCE_DRIFT,
    CLIPPING_DRIFT,
    SPEECH_RATE_DRIFT,
)

_STAGE, _PART = ("stage",), ("stage", "part")

JOB_RUNNING = Instrument("persona_job_running", Kind.GAUGE, "1 while the job runs, else 0", _STAGE)
JOB_TOLD = Instrument(
    "persona_job_told_timestamp_seconds", Kind.GAUGE, "when the job last told anything", _STAGE
)
JOB_SUCCESS = Instrument(
    "persona_job_last_success_timestamp_seconds", Kind.GAUGE, "when it last ended well", _STAGE
)
JOB_FAILURE = Instrument(
    "persona_job_last_failure_timestamp_seconds", Kind.GAUGE, "when it last failed", _STAGE
)
JOB_DURATION = Instrument(
    "persona_job_duration_seconds", Kind.GAUGE, "how long it took when it last ended well", _STAGE
)
JOB_STEPS = Instrument(
    "persona_job_steps_total",
    Kind.COUNTER,
    "calls, clips, updates, epochs or trials done in this run",
    _PART,
)
JOB_PROGRESS = Instrument(
    "persona_job_progress_ratio", Kind.GAUGE, "steps done, of those to do", _PART
)
JOB_LOSS = Instrument("persona_job_loss", Kind.GAUGE, "training loss, in nats", _PART)
JOB_ACCURACY = Instrument(
    "persona_job_accuracy_ratio",
    Kind.GAUGE,
    "share of right answers: of the dev split, or of masked targets",
    _PART,
)
JOB_SPEED = Instrument(
    "persona_job_units_per_second",
    Kind.GAUGE,
    "seconds of audio, tokens or calls done in a second",
    (*_PART, "unit"),
)
JOB_UTILISATION = Instrument(
    "persona_job_utilisation_ratio",
    Kind.GAUGE,
    "arithmetic done, of the measured peak of the device",
    _PART,
)
JOB_CHECKPOINT = Instrument(
    "persona_job_checkpoint_timestamp_seconds", Kind.GAUGE, "of the newest checkpoint", _STAGE
)
CORPUS_CALLS = Instrument(
    "persona_corpus_calls",
    Kind.GAUGE,
    "calls of the corpus: ok, nothing_usable, or why they were set aside",
    ("outcome",),
)
CORPUS_CLIPS = Instrument("persona_corpus_clips", Kind.GAUGE, "clips of the corpus")
CORPUS_CLIP_SECONDS = Instrument(
    "persona_corpus_clip_seconds", Kind.GAUGE, "audio of the corpus' clips"
)
CORPUS_DROPPED = Instrument(
    "persona_corpus_dropped_sentences",
    Kind.GAUGE,
    "sentences that became no clip, by the reason",
    ("reason",),
)
ARCHIVE_COVERAGE = Instrument(
    "persona_archive_coverage_ratio", Kind.GAUGE, "customers with a colour, of all customers"
)
ARCHIVE_CALLS = Instrument(
    "persona_archive_calls",
    Kind.GAUGE,
    "recognised calls of the archive, by outcome as persona_corpus_calls",
    ("outcome",),
)
ARCHIVE_CUSTOMERS = Instrument(
    "persona_archive_customers", Kind.GAUGE, "customers, by their primary colour", ("colour",)
)
ARCHIVE_DRIFT = Instrument(
    "persona_archive_drift",
    Kind.GAUGE,
    "stability index of what recognition of the archive has seen",
    ("kind", "against"),
)
JOBS = (
    JOB_RUNNING,
    JOB_TOLD,
    JOB_SUCCESS,
    JOB_FAILURE,
    JOB_DURATION,
    JOB_STEPS,
    JOB_PROGRESS,
    JOB_LOSS,
    JOB_ACCURACY,
    JOB_SPEED,
    JOB_UTILISATION,
    JOB_CHECKPOINT,
    CORPUS_CALLS,
    CORPUS_CLIPS,
    CORPUS_CLIP_SECONDS,
    CORPUS_DROPPED,
    ARCHIVE_COVERAGE,
    ARCHIVE_CALLS,
    ARCHIVE_CUSTOMERS,
    ARCHIVE_DRIFT,
)
ALL = (*SERVICE, *DRIFTS, *JOBS)
