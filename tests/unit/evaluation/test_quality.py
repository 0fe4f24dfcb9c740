"""Planted truth against corpora that are right, or wrong in one known way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.corpus.process import CHANNEL_SWAPPED
from persona_ray.corpus.records import CallOutcome, quarantined
from persona_ray.evaluation.matching import align_characters
from persona_ray.evaluation.quality import FLAGGED_DIRT, Quality, compare
from persona_ray.synth.config import DirtCounts
from persona_ray.synth.truth import TruthCall, TruthUtterance
from persona_ray.types import CallRecord, CallStatus, ClipInfo, QuarantineReason

MIN_CHARS, PAD_S = 10, 0.1
CHARACTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 400)]


def plain(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def call(number: int, expected_reason: str | None = None, dirt: str | None = None) -> TruthCall:
    return TruthCall(
        call_id=f"call{number}",
        customer_id=f"customer{number // 2}",
        agent_id="agent1",
        colour="red",
        secondary="blue",
        dirt=(dirt,) if dirt else (),
        true_customer_channel=1,
        expected="quarantine" if expected_reason else "ok",
        expected_reason=expected_reason,
    )


def speech(
    call_id: str, seed: int, sentences: int = 4, filler: bool = True
) -> list[TruthUtterance]:
    """Agent and customer in turn; the last utterance is a filler of four characters."""
    random = np.random.default_rng(seed)
    now, rows = 1.0, []
    for turn in range(2 * sentences + 2 * filler):
        customer = turn % 2 == 1
        size = 4 if filler and turn == 2 * sentences + 1 else int(random.integers(12, 25))
        length_s = 0.2 * size
        rows.append(
            TruthUtterance(
                call_id=call_id,
                index=turn,
                speaker="customer" if customer else "agent",
                customer_id="c" if customer else None,
                agent_id=None if customer else "a",
                channel=int(customer),
                start_s=round(now, 3),
                end_s=round(now + length_s, 3),
                text="".join(random.choice(CHARACTERS, size)) + "。",
                colour="red" if customer else None,
                leaning=None,
                fits=(),
                dirt=(),
            )
        )
        now += length_s + float(random.uniform(0.8, 1.5))
    return rows


def clip_of(said: TruthUtterance, until: TruthUtterance | None = None) -> ClipInfo:
    """What a perfect cutter makes of `said` (or of all from it to `until`)."""
    end = until or said
    text = said.text if until is None else said.text + until.text
    return ClipInfo(
        clip_id=f"{said.call_id}-{said.index}",
        call_id=said.call_id,
        customer_id="c",
        channel=said.channel,
        start_s=said.start_s - PAD_S,
        end_s=end.end_s + PAD_S,
        text=text,
    )


def outcome(truth: TruthCall, flags: tuple[str, ...] = ()) -> CallOutcome:
    return CallOutcome(
        call_id=truth.call_id,
        customer_id=truth.customer_id,
        audio_uri="x",
        status=CallStatus.OK,
        flags=flags,
    )


def set_aside(truth: TruthCall, reason: QuarantineReason) -> CallOutcome:
    record = CallRecord(truth.call_id, truth.customer_id, "x", customer_channel=1, channels=2)
    return quarantined(record, reason, "why").outcome


def customers(rows: Sequence[TruthUtterance]) -> list[TruthUtterance]:
    return [row for row in rows if row.speaker == "customer"]


def judge(rows: Sequence[TruthUtterance], clips: Sequence[ClipInfo]) -> Quality:
    """One usable call."""
    truth = call(0)
    return compare([truth], rows, [outcome(truth)], clips, plain, MIN_CHARS, PAD_S)


ROWS = speech("call0", seed=1)
SAID = customers(ROWS)
PERFECT = [clip_of(row) for row in SAID[:-1]]
SIZES = [len(plain(row.text)) for row in SAID]


def test_a_perfect_corpus_has_perfect_figures() -> None:
    quality = judge(ROWS, PERFECT)
    assert quality.character_error_rate == 0
    assert quality.placed_share == 1
    assert quality.reference_characters == quality.aligned == sum(SIZES[:-1])
    assert (quality.utterances, quality.utterances_found) == (4, 4)
    assert (quality.fillers, quality.fillers_kept) == (1, 0)
    assert (quality.clips_of_wrong_speaker, quality.clips_of_nobody) == (0, 0)
    assert quality.cut is not None
    assert quality.cut.median_ms == pytest.approx(1000 * PAD_S)
    assert quality.cut.into_speech == 0
    assert sum(quality.cut.counts) == quality.cut.borders == 8


def test_recognition_errors_are_counted_one_by_one() -> None:
    wrong = "".join("错" if i < 3 else c for i, c in enumerate(SAID[0].text))
    heard = [replace(PERFECT[0], text=wrong), replace(PERFECT[1], text=SAID[1].text[2:])]
    heard += [replace(PERFECT[2], text="多" + SAID[2].text), *PERFECT[3:]]
    quality = judge(ROWS, heard)
    assert (quality.substitutions, quality.deletions, quality.insertions) == (3, 2, 1)
    assert quality.character_error_rate == pytest.approx(6 / sum(SIZES[:-1]))
    # What is left stands where it belongs.
    assert quality.placed_share == 1


def test_two_sentences_in_one_clip_are_a_cut_error_and_no_recognition_error() -> None:
    quality = judge(ROWS, [clip_of(SAID[0], SAID[1]), *PERFECT[2:]])
    assert quality.character_error_rate == 0
    assert quality.placed == sum(SIZES[:-1]) - min(SIZES[0], SIZES[1])
    assert quality.utterances_found == 4
    assert quality.cut is not None
    assert quality.cut.borders == 6
    assert quality.cut.p90_ms > 1000


def test_a_sentence_cut_in_two_leaves_the_shorter_piece_misplaced() -> None:
    said, at = SAID[0], 8
    middle_s = said.start_s + 0.2 * at
    first = replace(PERFECT[0], end_s=middle_s, text=said.text[:at])
    second = replace(PERFECT[0], clip_id="second", start_s=middle_s, text=said.text[at:])
    quality = judge(ROWS, [first, second, *PERFECT[1:]])
    assert quality.character_error_rate == 0
    # Twelve characters or more: 8 and the rest, of which the shorter lies in a clip of no one.
    assert quality.placed == sum(SIZES[:-1]) - min(at, SIZES[0] - at)
    assert quality.utterances_found == 4


def test_a_lost_sentence_costs_recall_and_not_recognition() -> None:
    quality = judge(ROWS, PERFECT[1:])
    assert quality.character_error_rate == 0
    assert quality.utterance_recall == pytest.approx(3 / 4)


def test_a_filler_inside_a_clip_is_named() -> None:
    quality = judge(ROWS, [*PERFECT[:-1], clip_of(SAID[-2], SAID[-1])])
    assert quality.fillers_kept == 1
    assert quality.character_error_rate == 0
    assert quality.aligned - quality.placed == SIZES[-1]


def test_clips_of_the_agent_and_of_nobody_are_counted_and_not_compared() -> None:
    agent = next(row for row in ROWS if row.speaker == "agent")
    silence = replace(PERFECT[0], clip_id="silence", start_s=0.1, end_s=0.7, text="字幕")
    quality = judge(ROWS, [silence, clip_of(agent), *PERFECT])
    assert (quality.clips_of_wrong_speaker, quality.clips_of_nobody) == (1, 1)
    assert quality.clips == 6
    assert quality.character_error_rate == 0


def test_both_voices_in_one_channel_are_told_apart_by_time() -> None:
    mono = [replace(row, channel=0) for row in ROWS]
    clips = [clip_of(row) for row in mono]
    quality = judge(mono, clips)
    assert quality.clips_of_wrong_speaker == sum(row.speaker == "agent" for row in mono)
    assert quality.character_error_rate == 0


@pytest.mark.parametrize(("shift_s", "into_speech"), [(0.03, 0.0), (0.2, 0.5), (-0.2, 0.5)])
def test_cut_errors_keep_their_direction(shift_s: float, into_speech: float) -> None:
    """Shifted clips lose speech at one border and keep silence at the other."""
    moved = [
        replace(clip, start_s=clip.start_s + shift_s, end_s=clip.end_s + shift_s)
        for clip in PERFECT
    ]
    cut = judge(ROWS, moved).cut
    assert cut is not None
    assert cut.into_speech == pytest.approx(into_speech)
    edges = np.array(cut.edges_ms)
    centres = (edges[:-1] + edges[1:]) / 2
    mean_ms = float(np.average(centres, weights=cut.counts))
    assert mean_ms == pytest.approx(1000 * PAD_S, abs=50)


def test_quarantine_is_judged_as_a_whole_and_by_reason() -> None:
    calls = [
        call(0),
        call(1, "mono"),
        call(2, "truncated"),
        call(3, "truncated"),
        call(4),
        call(5, "silent"),
        call(6),
    ]
    outcomes = [
        outcome(calls[0]),
        set_aside(calls[1], QuarantineReason.MONO),
        set_aside(calls[2], QuarantineReason.TRUNCATED),
        set_aside(calls[3], QuarantineReason.UNREADABLE),
        set_aside(calls[4], QuarantineReason.TRUNCATED),
        outcome(calls[5]),
    ]
    quality = compare(calls, [], outcomes, [], plain, MIN_CHARS, PAD_S)
    assert quality.calls_absent == 1
    whole = quality.quarantine
    assert (whole.planted, whole.found, whole.right) == (4, 4, 3)
    assert whole.precision == whole.recall == pytest.approx(3 / 4)
    rows = {row.name: row for row in quality.quarantine_reasons}
    assert sorted(rows) == ["mono", "silent", "truncated", "unreadable"]
    assert (rows["truncated"].precision, rows["truncated"].recall) == (0.5, 0.5)
    assert (rows["silent"].precision, rows["silent"].recall) == (None, 0)
    assert (rows["unreadable"].precision, rows["unreadable"].recall) == (0, None)


def test_a_usable_call_set_aside_costs_recall_of_its_sentences() -> None:
    truth = call(0)
    lost = [set_aside(truth, QuarantineReason.SILENT)]
    quality = compare([truth], ROWS, lost, [], plain, MIN_CHARS, PAD_S)
    assert quality.utterance_recall == 0
    assert quality.character_error_rate is None
    assert quality.cut is None


def test_flags_are_compared_with_planted_dirt() -> None:
    calls = [call(0, dirt="swapped_channels"), call(1, dirt="swapped_channels"), call(2)]
    outcomes = [outcome(calls[0], (CHANNEL_SWAPPED,)), outcome(calls[1]), outcome(calls[2])]
    quality = compare(calls, [], outcomes, [], plain, MIN_CHARS, PAD_S)
    swapped = next(row for row in quality.flags if row.name == CHANNEL_SWAPPED)
    assert (swapped.planted, swapped.found, swapped.right) == (2, 1, 1)


def test_every_flagged_dirt_is_one_that_can_be_planted() -> None:
    assert set(FLAGGED_DIRT.values()) <= set(DirtCounts.model_fields)


def distance(reference: str, hypothesis: str) -> int:
    """Levenshtein's distance by its recurrence."""
    row = list(range(len(hypothesis) + 1))
    for i, a in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(hypothesis, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@given(st.text("一二三四", max_size=12), st.text("一二三四", max_size=12))
def test_alignment_is_a_shortest_one_and_in_order(reference: str, hypothesis: str) -> None:
    alignment = align_characters(reference, hypothesis)
    edits = alignment.substitutions + alignment.insertions + alignment.deletions
    assert edits == distance(reference, hypothesis)
    assert len(alignment.pairs) == len(reference) - alignment.deletions
    assert len(alignment.pairs) == len(hypothesis) - alignment.insertions
    differing = sum(reference[i] != hypothesis[j] for i, j in alignment.pairs)
    assert differing == alignment.substitutions
    assert list(alignment.pairs) == sorted(set(alignment.pairs))
    assert all(a[1] < b[1] for a, b in zip(alignment.pairs, alignment.pairs[1:], strict=False))
