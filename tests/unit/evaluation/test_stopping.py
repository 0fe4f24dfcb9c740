"""Stopping early and abstaining, against walking through each customer's sentences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.evidence import Rule, judged
from persona_ray.evaluation.stopping import SHOWN, THRESHOLDS, measure_stopping, stop
from tests.unit.evaluation.talkers import talkers


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 15), st.floats(0.26, 0.999), st.floats(0.5, 10))
def test_figures_are_those_of_a_walk(
    seed: int, customers: int, threshold: float, temperature: float
) -> None:
    speakers = talkers(seed, customers)
    each = {s.customer_id: temperature for s in speakers}
    found = measure_stopping("all", speakers, each, resamples=0, thresholds=[threshold])
    assert found.all_heard == pytest.approx(np.mean([len(s.log_rows) for s in speakers]))
    for curve in found.curves:
        answers, forced, heard = [], [], []
        for speaker in speakers:
            track = np.exp(judged(speaker, curve.rule, temperature))
            last = 0
            while last < len(track):
                last += 1
                if track[last - 1].max() >= threshold:
                    answers.append(track[last - 1].argmax() == speaker.target)
                    break
            heard.append(last)
            forced.append(track[last - 1].argmax() == speaker.target)
        (point,) = curve.points
        ends = [judged(s, curve.rule, temperature)[-1].argmax() == s.target for s in speakers]
        assert curve.unstopped.value == pytest.approx(np.mean(ends))
        sure = [np.exp(judged(s, curve.rule, temperature)[-1].max()) >= threshold for s in speakers]
        assert point.sure_at_end.value == pytest.approx(np.mean(sure))
        kept = [right for right, kept in zip(ends, sure, strict=True) if kept]
        if kept:
            assert point.accuracy_at_end is not None
            assert point.accuracy_at_end.value == pytest.approx(np.mean(kept))
        else:
            assert point.accuracy_at_end is None
        assert point.answered.value == pytest.approx(len(answers) / customers)
        assert point.insisting.value == pytest.approx(np.mean(forced))
        assert point.heard.value == pytest.approx(np.mean(heard))
        if answers:
            assert point.accuracy is not None
            assert point.accuracy.value == pytest.approx(np.mean(answers))
        else:
            assert point.accuracy is None


def test_a_higher_threshold_answers_fewer_and_hears_more() -> None:
    speakers = talkers(1, 200, alike=0.3)
    found = measure_stopping("all", speakers, {s.customer_id: 2.0 for s in speakers}, 200)
    assert [curve.rule for curve in found.curves] == list(Rule)
    for curve in found.curves:
        assert [p.threshold for p in curve.points] == sorted(THRESHOLDS)
        answered = [p.answered.value for p in curve.points]
        heard = [p.heard.value for p in curve.points]
        assert answered == sorted(answered, reverse=True)
        assert heard == sorted(heard)
        assert heard[-1] <= found.all_heard
        for point in curve.points:
            for estimate in (point.answered, point.insisting, point.heard):
                low, high = estimate.interval or (1.0, 0.0)
                assert low <= estimate.value <= high
    assert set(SHOWN) <= set(THRESHOLDS)


def test_caution_pays_where_confidence_means_something() -> None:
    speakers = talkers(2, 400)
    found = measure_stopping("all", speakers, {s.customer_id: 1.0 for s in speakers}, 0)
    product = {p.threshold: p for p in found.curves[1].points}
    assert product[0.9].accuracy is not None
    # Honest sentences that are independent: of answers given at 90 % at least 90 % are right.
    assert product[0.9].accuracy.value > 0.88
    assert product[0.9].insisting.value < product[0.9].accuracy.value


def test_the_first_sentence_that_reaches_the_threshold_ends_it() -> None:
    track = np.log(np.array([[0.5, 0.5], [0.8, 0.2], [0.6, 0.4], [0.9, 0.1]]))
    assert [stop(track, t) for t in (0.5, 0.75, 0.85, 0.95)] == [1, 2, 4, None]
    with pytest.raises(ValueError, match="no customers"):
        measure_stopping("all", [], {})
