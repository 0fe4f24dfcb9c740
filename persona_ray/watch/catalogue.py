"""Every figure that services and jobs tell. docs/watching.md shows this list, and dashboards and
alert rules may use no other name of ours: tests hold them to it."""

from __future__ import annotations

from persona_ray.watch.instruments import SECONDS, SIZES, Instrument, Kind

CONFIDENCE_BINS = 15


class _Figures(list[Instrument]):
    """Figures of one kind of process, as they are declared."""

    def counter(self, name: str, meaning: str, *labels: str) -> Instrument:
        return self._with(Instrument(name, Kind.COUNTER, meaning, labels))

    def gauge(self, name: str, meaning: str, *labels: str) -> Instrument:
        return self._with(Instrument(name, Kind.GAUGE, meaning, labels))

    def histogram(
        self, name: str, meaning: str, *labels: str, bounds: tuple[float, ...] = SECONDS
    ) -> Instrument:
        return self._with(Instrument(name, Kind.HISTOGRAM, meaning, labels, bounds))

    def _with(self, one: Instrument) -> Instrument:
        self.append(one)
        return one


_service = _Figures()
REQUESTS = _service.counter("persona_requests_total", "requests", "route", "method", "status")
REQUEST_SECONDS = _service.histogram("persona_request_seconds", "time of a request", "route")
REFUSED = _service.counter("persona_refused_total", "requests refused, by code", "code")
STAGE_SECONDS = _service.histogram("persona_stage_seconds", "time of a stage of an answer", "stage")
BATCH_SIZE = _service.histogram(
    "persona_batch_size", "items of a dynamic batch", "stage", bounds=SIZES
)
AUDIO_SECONDS = _service.counter(
    "persona_audio_seconds_total", "seconds of audio recognised", "kind"
)
COLOURS = _service.counter(
    "persona_colours_total", "answers, by colour (none: nothing usable)", "colour"
)
CONFIDENCE = _service.histogram(
    "persona_confidence",
    "probability of an answer's primary colour, per sentence",
    bounds=tuple((number + 1) / CONFIDENCE_BINS for number in range(CONFIDENCE_BINS)),
)
LIVE_CALLS = _service.gauge("persona_live_calls", "live calls held now")
ROLLOUT = _service.counter(
    "persona_rollout_total",
    "requests beside a challenger, by what became of them, and rolled_back",
    "event",
)
SCREENED = _service.counter(
    "persona_screened_total", "screened calls that ended, by outcome", "outcome"
)
DECISION_SECONDS = _service.histogram(
    "persona_screening_decision_seconds", "from the start of a call to what it is taken for"
)
ASSIST_PUSHES = _service.counter(
    "persona_assist_pushes_total",
    "pushes that were sent, seen, dropped as late, or failed",
    "state",
)
ASSIST_FEEDBACK = _service.counter(
    "persona_assist_feedback_total", "feedback on pushes, by action", "action"
)
SERVICE = tuple(_service)

_drifts = _Figures()


def _drift(name: str, of: str) -> Instrument:
    # With a label it is not there before it is known: 0 would say that there is no drift.
    return _drifts.gauge(f"persona_{name}_drift", f"stability index of {of}", "against")


CONFIDENCE_DRIFT = _drift("confidence", "the last answers' confidence")
COLOUR_DRIFT = _drift("colour", "the last answers' colours")
LEVEL_DRIFT = _drift("level", "the last sentences' level in dBFS")
SILENCE_DRIFT = _drift("silence", "the last sentences' share of near silence")
CLIPPING_DRIFT = _drift("clipping", "the last sentences' share of clipped samples")
SPEECH_RATE_DRIFT = _drift("speech_rate", "the last sentences' characters per second")
DRIFTS = tuple(_drifts)

_jobs = _Figures()
JOB_RUNNING = _jobs.gauge("persona_job_running", "1 while the job runs, else 0", "stage")
JOB_TOLD = _jobs.gauge(
    "persona_job_told_timestamp_seconds", "when the job last told anything", "stage"
)
JOB_SUCCESS = _jobs.gauge(
    "persona_job_last_success_timestamp_seconds", "when it last ended well", "stage"
)
JOB_FAILURE = _jobs.gauge(
    "persona_job_last_failure_timestamp_seconds", "when it last failed", "stage"
)
JOB_DURATION = _jobs.gauge(
    "persona_job_duration_seconds", "how long it took when it last ended well", "stage"
)
JOB_STEPS = _jobs.counter(
    "persona_job_steps_total",
    "calls, clips, updates, epochs or trials done in this run",
    "stage",
    "part",
)
JOB_PROGRESS = _jobs.gauge(
    "persona_job_progress_ratio", "steps done, of those to do", "stage", "part"
)
JOB_LOSS = _jobs.gauge("persona_job_loss", "training loss, in nats", "stage", "part")
JOB_ACCURACY = _jobs.gauge(
    "persona_job_accuracy_ratio",
    "share of right answers: of the dev split, or of masked targets",
    "stage",
    "part",
)
JOB_SPEED = _jobs.gauge(
    "persona_job_units_per_second",
    "seconds of audio, tokens or calls done in a second",
    "stage",
    "part",
    "unit",
)
JOB_UTILISATION = _jobs.gauge(
    "persona_job_utilisation_ratio",
    "arithmetic done, of the measured peak of the device",
    "stage",
    "part",
)
JOB_CHECKPOINT = _jobs.gauge(
    "persona_job_checkpoint_timestamp_seconds", "of the newest checkpoint", "stage"
)
CORPUS_CALLS = _jobs.gauge(
    "persona_corpus_calls",
    "calls of the corpus: ok, nothing_usable, or why they were set aside",
    "outcome",
)
CORPUS_CLIPS = _jobs.gauge("persona_corpus_clips", "clips of the corpus")
CORPUS_CLIP_SECONDS = _jobs.gauge("persona_corpus_clip_seconds", "audio of the corpus' clips")
CORPUS_DROPPED = _jobs.gauge(
    "persona_corpus_dropped_sentences", "sentences that became no clip, by the reason", "reason"
)
ARCHIVE_COVERAGE = _jobs.gauge(
    "persona_archive_coverage_ratio", "customers with a colour, of all customers"
)
ARCHIVE_CALLS = _jobs.gauge(
    "persona_archive_calls",
    "recognised calls of the archive, by outcome as persona_corpus_calls",
    "outcome",
)
ARCHIVE_CUSTOMERS = _jobs.gauge(
    "persona_archive_customers", "customers, by their primary colour", "colour"
)
ARCHIVE_DRIFT = _jobs.gauge(
    "persona_archive_drift",
    "stability index of what recognition of the archive has seen",
    "kind",
    "against",
)
JOBS = tuple(_jobs)
# How runs before ended, and what the last one that ended well has made.
JOB_ENDS = (JOB_SUCCESS, JOB_FAILURE, JOB_DURATION)
JOB_RESULTS = (
    *(CORPUS_CALLS, CORPUS_CLIPS, CORPUS_CLIP_SECONDS, CORPUS_DROPPED),
    *(ARCHIVE_COVERAGE, ARCHIVE_CALLS, ARCHIVE_CUSTOMERS, ARCHIVE_DRIFT),
)
ALL = (*SERVICE, *DRIFTS, *JOBS)
