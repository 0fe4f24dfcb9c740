"""Evidence sentence by sentence, against doing it customer by customer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.evidence import (
    LEAST_CUSTOMERS,
    Rule,
    Speaker,
    cross_fitted_speakers,
    fit_speakers,
    judged,
    measure_evidence,
    speakers_of,
    steps,
)
from persona_ray.evaluation.scores import score_customers
from persona_ray.inference.clips import combine
from persona_ray.objectives.temperature import fit_temperature
from persona_ray.types import Recognition
from tests.unit.evaluation.talkers import LABELS, said_by, talkers


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.5, 20))
def test_rules_follow_their_definitions(seed: int, alike: float, temperature: float) -> None:
    (speaker,) = talkers(seed, 1, alike=alike)
    rows = np.exp(speaker.log_rows)
    for rule in Rule:
        track = np.exp(judged(speaker, rule, temperature))
        for n in range(1, len(rows) + 1):
            if rule is Rule.SUM:
                expected = rows[:n].sum(axis=0)
            else:
                power = 1 / temperature if rule is Rule.TEMPERED else 1.0
                expected = np.prod(rows[:n] ** power, axis=0)
            assert track[n - 1] == pytest.approx(expected / expected.sum())


def test_the_sum_is_what_recognition_says() -> None:
    (speaker,) = talkers(1, 1, longest=9)
    rows = np.exp(speaker.log_rows).tolist()
    whole = combine([Recognition(dict(zip(LABELS, row, strict=True)), clips=1) for row in rows])
    assert isinstance(whole, Recognition)
    last = np.exp(judged(speaker, Rule.SUM))[-1]
    assert last == pytest.approx(list(whole.probabilities.values()))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_curves_count_every_customer_once(seed: int, customers: int) -> None:
    speakers = talkers(seed, customers)
    each = {s.customer_id: 3.0 for s in speakers}
    found = measure_evidence("all", speakers, each, [], resamples=20)
    longest = max(len(s.log_rows) for s in speakers)
    for curve in found.curves:
        assert [p.sentences for p in curve.points] == list(range(1, longest + 1))
        for point in curve.points:
            heard = [
                judged(s, curve.rule, 3.0)[: point.sentences][-1].argmax() == s.target
                for s in speakers
            ]
            assert point.accuracy.value == pytest.approx(np.mean(heard))
            assert point.customers == sum(len(s.log_rows) >= point.sentences for s in speakers)
        assert sum(part.count for part in curve.whole.bins) == customers
        assert curve.whole.confidence == pytest.approx(curve.points[-1].confidence)


def test_all_sentences_of_the_sum_give_the_scores_of_whole_customers() -> None:
    rows = said_by(talkers(2, 40))
    scores = score_customers(rows, LABELS, resamples=50, seed=3)
    speakers = speakers_of(rows, LABELS)
    each = {s.customer_id: 1.0 for s in speakers}
    found = measure_evidence("all", speakers, each, [], resamples=50, seed=3)
    assert found.curves[0].rule is Rule.SUM
    assert found.curves[0].points[-1].accuracy == scores.accuracy


def test_sentences_keep_their_order() -> None:
    speakers = talkers(3, 6)
    again = speakers_of(said_by(speakers), LABELS)
    assert [s.customer_id for s in again] == [s.customer_id for s in speakers]
    for a, b in zip(again, speakers, strict=True):
        assert a.target == b.target
        assert a.log_rows == pytest.approx(b.log_rows)
    turned = {s.customer_id: "green" for s in speakers}
    assert {s.target for s in speakers_of(said_by(speakers), LABELS, turned)} == {3}


def test_sentences_that_are_alike_make_the_product_too_sure_and_temperature_mends_it() -> None:
    speakers = talkers(4, 300, alike=0.8)
    fold_of = {s.customer_id: at % 5 for at, s in enumerate(speakers)}
    each, fitted = cross_fitted_speakers(speakers, fold_of)
    assert len(fitted) == 5
    assert all(t.value > 2 for t in fitted)
    found = measure_evidence("all", speakers, each, fitted, resamples=100)
    product, tempered = found.curves[1], found.curves[2]
    assert [p.accuracy.value for p in product.points] == [p.accuracy.value for p in tempered.points]
    assert product.whole.confidence > product.points[-1].accuracy.value + 0.15
    assert tempered.whole.ece.value < product.whole.ece.value / 2
    assert tempered.whole.cross_entropy.value < product.whole.cross_entropy.value
    assert found.temperatures == tuple(t.value for t in fitted)


def test_independent_honest_sentences_need_no_temperature() -> None:
    assert fit_speakers(talkers(5, 2000)).value == pytest.approx(1.0, abs=0.1)


def test_a_customer_who_talks_much_does_not_outvote_the_others() -> None:
    quiet = talkers(6, 200, longest=2, alike=0.5)
    sentence = quiet[0].log_rows[:1]
    second = int(np.argsort(sentence[0])[-2])
    everyone = [*quiet, Speaker("loud", second, np.repeat(sentence, 20, axis=0))]
    by_sentence = fit_temperature(
        np.concatenate([judged(s, Rule.PRODUCT) for s in everyone]),
        np.concatenate([np.full(len(s.log_rows), s.target) for s in everyone]),
    )
    without, found = fit_speakers(quiet).value, fit_speakers(everyone).value
    assert without < found < 1.5 * without < by_sentence.value / 5


def test_few_customers_set_no_temperature() -> None:
    speakers = talkers(8, LEAST_CUSTOMERS - 1)
    fitted = fit_speakers(speakers)
    assert fitted.value == 1.0
    assert fitted.reason == "4 customers, at least 5 are needed"
    with pytest.raises(ValueError, match="no customers"):
        measure_evidence("all", [], {}, [])


@given(st.integers(1, 5000))
def test_steps_rise_from_the_first_to_the_last_sentence(longest: int) -> None:
    found = steps(longest)
    assert found[0] == 1
    assert found[-1] == longest
    assert all(a < b for a, b in itertools.pairwise(found))
    assert len(found) <= 20 + 45
