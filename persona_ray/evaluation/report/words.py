"""Figures and findings in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.evaluation.bootstrap import Estimate
    from persona_ray.evaluation.report.data import Comparison, ReportData, SplitGap
    from persona_ray.evaluation.report.pretraining import PretrainingPart

NONE = "–"


def percent(value: float | None, digits: int = 0) -> str:
    """0.123 -> `12 %`; a dash for None."""
    return NONE if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None) -> str:
    """12345 -> `12 345`; a dash for None."""
    if value is None:
        return NONE
    text = f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.1f}"
    return text.replace(",", " ")


def duration(seconds: float | None) -> str:
    """`41 s`, `6 min 05 s`, `2 h 03 min`."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Place in a call, `1:07`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def interval(estimate: Estimate) -> str:
    """`38-100 %`; empty without an interval, or where all resamples agree, as they do about a few
    customers who are all right: that they always would be is not what such an interval says."""
    if estimate.interval is None or estimate.interval[0] == estimate.interval[1]:
        return ""
    low, high = estimate.interval
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def signed(estimate: Estimate | None) -> str:
    """A difference in points of a hundred with its interval, `−12 (−20 to −3)`."""
    if estimate is None:
        return NONE
    text = _points(estimate.value)
    if estimate.interval is not None:
        low, high = estimate.interval
        text += f" ({_points(low)} to {_points(high)})"
    return text


def span(estimate: Estimate, digits: int = 2) -> str:
    """A figure that is no share, with its interval, `1.21 (1.10–1.33)`."""
    text = f"{estimate.value:.{digits}f}"
    if estimate.interval is None:
        return text
    low, high = estimate.interval
    return f"{text} ({low:.{digits}f}–{high:.{digits}f})"


def headline(data: ReportData) -> str:
    """The one finding that the report opens with."""
    if data.held_out:
        scores = data.held_out.customers
        return f"The right colour for {scores.right} of {scores.count} customers it never heard"
    if data.comparison and (both := _of(data.comparison, Modality.BOTH)) is not None:
        return f"The right colour for {percent(both)} of customers it never heard"
    if data.corpus:
        return f"{number(data.corpus.clips)} clips out of {number(data.corpus.calls)} calls"
    return data.title


def lead(data: ReportData) -> str:
    """What was trained on what, and judged on whom."""
    if data.held_out:
        held_out = data.held_out
        trained = (
            f"Trained on {number(held_out.train_clips)} clips "
            f"({duration(held_out.train_audio_s)}) of {number(held_out.train_customers)} customers"
        )
        judged = (
            f"judged on {number(held_out.clips.count)} clips "
            f"({duration(held_out.held_out_audio_s)}) of {number(held_out.clips.customers)} others"
        )
        return f"{trained}, {judged}. Guessing would be right {_times(held_out.clips.chance)}."
    if data.corpus:
        corpus = data.corpus
        return (
            f"{duration(corpus.call_audio_s)} of calls became {duration(corpus.clip_audio_s)} of "
            f"sentences by {number(corpus.customers)} customers."
        )
    return data.subtitle


def comparison_finding(comparison: Comparison) -> str:
    """Which modality is ahead, for customers."""
    parts = [
        f"{percent(entry.customers.accuracy.value)} with {_MODALITIES[entry.modality]}"
        for entry in comparison.modalities
    ]
    text = "Customers named right: " + ", ".join(parts) + "."
    both = _of(comparison, Modality.BOTH)
    single = [
        entry.customers.accuracy.value
        for entry in comparison.modalities
        if entry.modality != Modality.BOTH
    ]
    if both is None or not single:
        return text
    gain = 100 * (both - max(single))
    if gain > 0:
        return f"{text} Both together are {gain:.0f} points above the better one alone."
    return f"{text} Here both together are no better than one alone."


def gap_finding(gap: SplitGap) -> str:
    """How much the split by sentence flatters."""
    points = 100 * (gap.by_sentence.accuracy.value - gap.by_customer.accuracy.value)
    if points > 0.5:
        return (
            f"Dealt clip by clip, the same model looks {points:.0f} points better, because it has "
            "heard the very customers it is judged on. That gap is leakage: believe the split by "
            "customer."
        )
    return (
        "Here the split by sentence does not look better, so what the model learned of single "
        "customers did not help it. The split by customer remains the one to believe."
    )


def pretraining_finding(part: PretrainingPart) -> str:
    """What the encoders can guess after their last runs."""
    found = []
    for runs, what in ((part.text, "masked words"), (part.speech, "masked units")):
        if runs:
            before, after = runs[-1].first.accuracy, runs[-1].last.accuracy
            found.append(f"{percent(after)} of {what} right, at first {percent(before)}")
    return (
        "Before the labels, the encoders learned from the calls alone to guess what was hidden "
        f"from them: {'; '.join(found)}."
    )


def _points(share: float) -> str:
    points = round(100 * share)
    return f"{points:+d}".replace("-", "−") if points else "0"


_MODALITIES = {
    Modality.TEXT: "text alone",
    Modality.SPEECH: "speech alone",
    Modality.BOTH: "both",
}


def _of(comparison: Comparison, modality: Modality) -> float | None:
    for entry in comparison.modalities:
        if entry.modality == modality:
            return entry.customers.accuracy.value
    return None


def _times(chance: float) -> str:
    return f"one time in {round(1 / chance)}"
