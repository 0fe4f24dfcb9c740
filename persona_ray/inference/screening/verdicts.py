"""What the user is told of a screened call, from what its session knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from persona_ray.inference.screening.policy import illegal_probability
from persona_ray.inference.screening.reasons import Reason, ReasonCode
from persona_ray.inference.screening.records import (
    NotEnoughSpeech,
    Outcome,
    Verdict,
    VoiceMatch,
    VoiceUnknown,
)

if TYPE_CHECKING:
    from persona_ray.inference.screening.policy import Policy
    from persona_ray.inference.screening.state import SessionState

_ENDINGS = {
    Outcome.CALLER_LEFT: ReasonCode.CALLER_LEFT,
    Outcome.MESSAGE: ReasonCode.MESSAGE_LEFT,
    Outcome.SCREENED: ReasonCode.ROBOT_ENDED,
}


def verdict_of(
    state: SessionState, policy: Policy, models: Mapping[str, str], why: ReasonCode | None = None
) -> Verdict:
    """`models`: versions of the models that had a part, but for the category model, which names
    itself; `why`: how the call ended, where the outcome does not say."""
    decision = state.decision
    if decision.standing is None and state.judgement is not None:
        decision = policy.as_it_stands(state.judgement)
    named = dict(models)
    if state.judgement is not None:
        named["category"] = state.judgement.model
    reasons = list(decision.reasons)
    ending = why or _ENDINGS.get(state.outcome)
    if ending is not None:
        reasons.append(Reason(ending))
    if state.missing:
        missing = {"parts": ", ".join(sorted(state.missing))}
        reasons.append(Reason(ReasonCode.PARTS_MISSING, missing))
    return Verdict(
        call=state.call,
        outcome=state.outcome,
        standing=decision.standing,
        category=decision.category,
        reasons=tuple(reasons),
        turns=tuple(state.turns),
        voice=state.voice,
        judgement=state.judgement,
        evidence=_evidence(state, policy),
        models=named,
        decided_s=state.decided_s,
        duration_s=state.now_s,
    )


def _evidence(state: SessionState, policy: Policy) -> dict[str, float]:
    evidence: dict[str, float] = {"caller_turns": state.caller_turns}
    match state.voice:
        case VoiceMatch(score=score, margin=margin):
            evidence |= {"voice_score": score, "voice_margin": margin}
        case VoiceUnknown(nearest=float(nearest)):
            evidence["voice_nearest"] = nearest
        case NotEnoughSpeech(speech_s=speech_s):
            evidence["voice_speech_s"] = speech_s
    if state.judgement is not None:
        probabilities = state.judgement.probabilities
        evidence["p_illegal"] = illegal_probability(probabilities, policy.config)
        evidence["p_category"] = probabilities[state.judgement.category]
    if state.threshold is not None:
        evidence["hang_up_from"] = state.threshold
    for part, times in state.missing.items():
        evidence[f"missing_{part}"] = times
    return evidence
