"""Builds a synthetic archive: plan, speak, mix, write. Resumable, since speech is cached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from persona_ray.progress import Progress, SilentProgress
from persona_ray.synth.annotators import write_annotations
from persona_ray.synth.business import write_business_database
from persona_ray.synth.config import LOSING, SynthConfig
from persona_ray.synth.dialogue import ArchivePlan, CallPlan, plan_archive
from persona_ray.synth.files import suffix, write_recording
from persona_ray.synth.mixing import CUSTOMER_CHANNEL, MixedCall, mix
from persona_ray.synth.readme import readme
from persona_ray.synth.speech import speak_all
from persona_ray.synth.truth import (
    CALLS,
    CUSTOMERS,
    UTTERANCES,
    TruthCall,
    TruthCustomer,
    TruthUtterance,
    write_records,
)


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What was built. `customer_speech_s` counts sentences of usable and unusable calls."""

    folder: Path
    customers: int
    calls: int
    sentences: int
    customer_speech_s: float
    audio_bytes: int
    annotations: int
    dirty_calls: int


def build_archive(
    config: SynthConfig, out: Path, progress: Progress | None = None
) -> ArchiveSummary:
    """Writes the archive of `config` into folder `out`, over what an earlier build left there.

    Lines spoken before are taken from `config.speech_cache`. Raises `SynthesisError` when the
    engine or its voices are missing, `ConfigError` for more sentences than the texts can give.
    """
    progress = progress or SilentProgress()
    plan = plan_archive(config)
    cache = speak_all(config, plan.turns(), progress)
    uris = _audio_uris(plan)
    _clear_recordings(out)
    durations_s: dict[str, float] = {}
    calls: list[TruthCall] = []
    utterances: list[TruthUtterance] = []
    with progress.stage("mixing calls", len(plan.calls)) as stage:
        for call in plan.calls:
            mixed = mix(config, call, cache)
            write_recording(out / uris[call.call_id], call, mixed)
            durations_s[call.call_id] = round(mixed.duration_s, 3)
            calls.append(_truth_call(call, mixed))
            utterances += _truth_utterances(call, mixed)
            stage.advance()
    write_records(out / "truth" / CALLS, calls)
    write_records(out / "truth" / UTTERANCES, utterances)
    write_records(out / "truth" / CUSTOMERS, _truth_customers(plan))
    write_business_database(out / "business.sqlite", plan, uris, durations_s, CUSTOMER_CHANNEL)
    annotations = write_annotations(out / "annotations.csv", config, calls, utterances)
    summary = _summary(out, plan, utterances, annotations)
    _write_settings(out / "truth" / "archive.json", config)
    (out / "README.md").write_text(readme(config, summary), encoding="utf-8")
    return summary


def _audio_uris(plan: ArchivePlan) -> dict[str, str]:
    """call -> URI relative to the archive."""
    uris: dict[str, str] = {}
    truncated = 0
    for call in plan.calls:
        name = f"{call.call_id}.{suffix(call, truncated)}"
        uris[call.call_id] = f"audio/{call.started_at:%Y-%m}/{name}"
        truncated += call.dirt == "truncated"
    return uris


def _clear_recordings(out: Path) -> None:
    """Removes recordings of an earlier build, so that a missing file is missing."""
    for path in out.glob("audio/*/K*"):
        path.unlink()


def _truth_call(call: CallPlan, mixed: MixedCall) -> TruthCall:
    reason = LOSING.get(call.dirt or "")
    return TruthCall(
        call_id=call.call_id,
        customer_id=call.customer.customer_id,
        agent_id=call.agent.agent_id,
        colour=call.customer.colour,
        secondary=call.customer.secondary,
        dirt=(call.dirt,) if call.dirt else (),
        true_customer_channel=mixed.customer_channel,
        expected="quarantine" if reason else "ok",
        expected_reason=reason,
    )


def _truth_utterances(call: CallPlan, mixed: MixedCall) -> list[TruthUtterance]:
    rows = []
    for index, place in enumerate(mixed.placed):
        turn, is_customer = place.turn, place.turn.speaker == "customer"
        rows.append(
            TruthUtterance(
                call_id=call.call_id,
                index=index,
                speaker=turn.speaker,
                customer_id=call.customer.customer_id if is_customer else None,
                agent_id=None if is_customer else call.agent.agent_id,
                channel=place.channel,
                start_s=round(place.start_s, 4),
                end_s=round(place.end_s, 4),
                text=turn.text,
                colour=call.customer.colour if is_customer else None,
                leaning=turn.sentence.leaning if turn.sentence else None,
                fits=turn.sentence.fits if turn.sentence else (),
                dirt=turn.dirt,
            )
        )
    return rows


def _truth_customers(plan: ArchivePlan) -> list[TruthCustomer]:
    return [
        TruthCustomer(
            customer_id=customer.customer_id,
            colour=customer.colour,
            secondary=customer.secondary,
            sex=customer.sex,
            timbre=dict(customer.voice.timbre),
            manner=dict(customer.voice.prosody),
            prosody=asdict(customer.prosody),
        )
        for customer in plan.customers
    ]


def _summary(
    out: Path, plan: ArchivePlan, utterances: Sequence[TruthUtterance], annotations: int
) -> ArchiveSummary:
    sentences = [row for row in utterances if row.leaning is not None]
    return ArchiveSummary(
        folder=out,
        customers=len(plan.customers),
        calls=len(plan.calls),
        sentences=len(sentences),
        customer_speech_s=round(sum(row.end_s - row.start_s for row in sentences), 1),
        audio_bytes=sum(path.stat().st_size for path in out.glob("audio/*/K*")),
        annotations=annotations,
        dirty_calls=sum(call.dirt is not None for call in plan.calls),
    )


def _write_settings(path: Path, config: SynthConfig) -> None:
    """The config without what belongs to the machine that built the archive."""
    settings = config.model_dump(mode="json", exclude={"voices_folder", "speech_cache", "workers"})
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
