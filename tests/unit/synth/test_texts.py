"""Texts: unique, of the promised length, and leaning only as much as they are told to."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from persona_ray.errors import ConfigError
from persona_ray.synth.config import DirtCounts, Strengths, SynthConfig
from persona_ray.synth.dialogue import ArchivePlan, plan_archive
from persona_ray.synth.grammar import COLOURS, NEUTRAL, STAGES, Composer, characters, load_texts


@pytest.fixture(scope="module")
def plan() -> ArchivePlan:
    """The plan of the shipped archive's size; planning costs no speech."""
    return plan_archive(SynthConfig())


def test_no_two_customer_sentences_are_alike(plan: ArchivePlan) -> None:
    sentences = [characters(turn.text) for turn in plan.turns() if turn.sentence is not None]
    assert len(sentences) > 1000
    assert len(set(sentences)) == len(sentences)


def test_sentences_are_kept_and_fillers_dropped_by_length(plan: ArchivePlan) -> None:
    low, high = plan.config.sentence_characters
    for turn in plan.turns():
        if turn.sentence is not None:
            assert low <= len(characters(turn.text)) <= high
        elif turn.speaker == "customer":
            assert len(turn.text) < 10
            assert "filler" in turn.dirt


def test_every_slot_of_every_text_can_be_filled_in_every_scene() -> None:
    texts = load_texts()
    kinds = (*texts.openers, *texts.cores, *texts.tails)
    slots = {slot for kind in kinds for text in kind.texts for slot in re.findall(r"{(\w*)}", text)}
    for name, scene in texts.scenes.items():
        missing = slots - set(scene) - set(texts.common)
        assert not missing, f"{name} lacks {missing}"
        assert name in texts.agents["greeting"]


def test_every_stage_offers_every_colour_and_neutral_a_clause() -> None:
    texts = load_texts()
    for stage in STAGES:
        kinds = [kind for kind in texts.cores if stage in kind.stages]
        assert (np.max([kind.fits for kind in kinds], axis=0) >= 0.8).all(), stage
        assert any(kind.neutral for kind in kinds), stage


def test_no_clause_kind_belongs_to_one_colour_alone() -> None:
    texts = load_texts()
    for kind in (*texts.openers, *texts.cores, *texts.tails):
        fits = sorted(kind.fits)
        assert kind.neutral or fits[-2] >= 0.3, f"{kind.name} fits one colour only"


def test_sentences_never_join_opposite_moods() -> None:
    texts = load_texts()
    mood = {text: k.mood for k in (*texts.openers, *texts.cores, *texts.tails) for text in k.texts}
    composer = Composer(texts, 0.0, (10, 30))
    rng = np.random.default_rng(1)
    for _ in range(300):
        sentence = composer.compose(rng, "loan", "concern", NEUTRAL)
        moods = {mood[clause] for clause in sentence.skeleton.split("|") if clause}
        assert not {"up", "down"} <= moods, sentence.text


def leaning_share(strength: float) -> float:
    """How many sentences drawn for a colour fit it, over all colours."""
    composer = Composer(load_texts(), strength, (10, 30))
    rng = np.random.default_rng(0)
    drawn = [
        (colour, composer.compose(rng, "insurance", "react", colour))
        for colour in COLOURS
        for _ in range(60)
    ]
    return float(np.mean([colour in sentence.fits for colour, sentence in drawn]))


def test_text_strength_is_a_knob() -> None:
    assert leaning_share(6.0) > leaning_share(0.0) + 0.3


def test_running_out_of_sentences_says_what_to_do() -> None:
    composer = Composer(load_texts(), 4.0, (60, 61))
    with pytest.raises(ConfigError, match=r"60 to 61 characters .* lower customers_per_colour"):
        composer.compose(np.random.default_rng(0), "loan", "open", "red")


def test_sexes_voices_and_colours_are_balanced(plan: ArchivePlan) -> None:
    assert Counter(c.colour for c in plan.customers) == dict.fromkeys(COLOURS, 20)
    assert set(Counter((c.colour, c.sex) for c in plan.customers).values()) == {10}
    voices = {(c.voice.timbre, c.prosody.pitch) for c in plan.customers}
    assert len(voices) == len(plan.customers)
    pairs: dict[str, Counter[frozenset[str]]] = {colour: Counter() for colour in COLOURS}
    for customer in plan.customers:
        own = [name for name, weight in customer.voice.timbre if weight > 0.15]
        pairs[customer.colour][frozenset(own)] += 1
    assert pairs["red"] == pairs["blue"] == pairs["yellow"] == pairs["green"]


def test_blends_are_convex(plan: ArchivePlan) -> None:
    for customer in plan.customers:
        for blend in (customer.voice.timbre, customer.voice.prosody):
            assert all(weight > 0 for _, weight in blend)
            assert sum(weight for _, weight in blend) == pytest.approx(1, abs=0.01)


def rates_by_colour(prosody: float) -> dict[str, float]:
    config = SynthConfig(
        calls_per_customer=1, strengths=Strengths(prosody=prosody), dirt=DirtCounts()
    )
    customers = plan_archive(config).customers
    return {
        colour: float(np.mean([c.prosody.rate for c in customers if c.colour == colour]))
        for colour in COLOURS
    }


def test_prosody_leans_by_strength() -> None:
    leaning, flat = rates_by_colour(1.0), rates_by_colour(0.0)
    assert leaning["yellow"] > leaning["blue"] > leaning["green"]
    assert max(flat.values()) - min(flat.values()) < 0.08


def test_dirt_spreads_and_nobody_loses_two_calls(plan: ArchivePlan) -> None:
    dealt = Counter(call.dirt for call in plan.calls if call.dirt)
    assert dealt == {kind: n for kind, n in plan.config.dirt.model_dump().items() if n}
    per_customer = Counter(call.customer.customer_id for call in plan.calls if call.dirt)
    assert max(per_customer.values()) == 1


@pytest.mark.parametrize("rate_hz", [0, -8000, 1_000_000])
def test_rates_that_no_recording_has_are_refused(rate_hz: int) -> None:
    with pytest.raises(ValueError, match="sample_rate_hz"):
        SynthConfig(sample_rate_hz=rate_hz)


def test_too_much_dirt_is_refused() -> None:
    with pytest.raises(ValueError, match="lower `dirt` or add calls"):
        SynthConfig(customers_per_colour=1, calls_per_customer=1)
