"""Invented customers and agents: facts, a voice, and prosody that leans with the colour.

Sexes and base voices are dealt out alike to every colour, so that timbre gives nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from persona_ray.synth.config import Strengths, SynthConfig
from persona_ray.synth.grammar import COLOURS, Texts
from persona_ray.synth.streams import Part, stream
from persona_ray.tts.base import Blend, Voice
from persona_ray.tts.kokoro import BASE_VOICES

SEXES = ("female", "male")

_SECONDARY_SHARE = 0.15  # of a customer's prosody
_PROSODY_SHARE = 0.25  # of the prosody style that leans to the colour's base voice
_CROSS_CHANCE, _CROSS_SHARE = 0.3, 0.12  # a touch of a voice of the other sex


@dataclass(frozen=True, slots=True)
class Prosody:
    """How somebody speaks. Also used for the scatter of each of these."""

    rate: float  # ratio to the engine's own rate
    pitch: float  # ratio to the voice's own pitch
    level_db: float  # loudness
    effort_db: float  # highs against lows: a raised voice has a flatter spectrum
    pause_s: float  # added to the longest pause inside a sentence
    latency_s: float  # silence before an answer

    def values(self) -> tuple[float, ...]:
        return (
            self.rate, self.pitch, self.level_db, self.effort_db, self.pause_s, self.latency_s
        )  # fmt: skip


_NEUTRAL = Prosody(1.0, 1.0, 0.0, 0.0, 0.10, 0.5)
_LEANS: Mapping[str, Prosody] = {
    "red": Prosody(1.07, 1.07, 2.0, 1.5, 0.03, 0.35),
    "blue": Prosody(0.95, 0.96, -0.5, -1.0, 0.20, 0.80),
    "yellow": Prosody(1.15, 1.01, 1.5, 2.0, 0.00, 0.25),
    "green": Prosody(0.88, 0.99, -2.5, -2.0, 0.16, 0.60),
}
_SPEAKER_SCATTER = Prosody(0.06, 0.05, 0.9, 0.7, 0.03, 0.15)
_SENTENCE_SCATTER = Prosody(0.05, 0.03, 1.8, 1.8, 0.08, 0.12)
# Base voices whose manner each colour's prosody leans to: (female, male).
_MANNERS: Mapping[str, tuple[str, str]] = {
    "red": ("zf_xiaoyi", "zm_yunxi"),
    "blue": ("zf_xiaoxiao", "zm_yunyang"),
    "yellow": ("zf_xiaobei", "zm_yunjian"),
    "green": ("zf_xiaoni", "zm_yunxia"),
}


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with planted colours. `facts` are columns of the business database."""

    customer_id: str
    colour: str
    secondary: str
    sex: str
    voice: Voice
    prosody: Prosody
    facts: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent, who always speaks alike."""

    agent_id: str
    name: str
    voice: Voice


def make_customers(config: SynthConfig, texts: Texts) -> list[Customer]:
    """All customers, colours in turn: C0001 is red, C0002 blue ..."""
    return [_customer(config, texts, index) for index in range(config.customers)]


def make_agents(config: SynthConfig, texts: Texts) -> list[Agent]:
    """The agents, with voices that no customer has."""
    agents = []
    for index in range(config.agents):
        sex = SEXES[index % 2]
        base = BASE_VOICES[sex]
        blend = ((base[index % 4], 0.6), (base[(index + 1) % 4], 0.4))
        name = texts.people["agents"][index]
        agent_id = f"A{index + 1:02d}"
        agents.append(Agent(agent_id, name, Voice(agent_id, sex, blend, blend)))
    return agents


def _customer(config: SynthConfig, texts: Texts, index: int) -> Customer:
    rng = stream(config, Part.CUSTOMER, index)
    colour, rank = COLOURS[index % 4], index // 4
    others = [other for other in COLOURS if other != colour]
    secondary = others[(rank + int(rng.integers(3))) % 3]
    sex = SEXES[rank % 2]
    customer_id = f"C{index + 1:04d}"
    timbre = _timbre(rng, sex, rank // 2)
    prosody = _blend_in(timbre, _MANNERS[colour][SEXES.index(sex)], config.strengths)
    return Customer(
        customer_id=customer_id,
        colour=colour,
        secondary=secondary,
        sex=sex,
        voice=Voice(customer_id, sex, timbre, prosody),
        prosody=_lean(rng, colour, secondary, config.strengths),
        facts=_facts(rng, texts, sex),
    )


def _timbre(rng: np.random.Generator, sex: str, rank: int) -> Blend:
    """A convex blend: the same pairs of base voices for every colour, own weights."""
    pairs = list(combinations(BASE_VOICES[sex], 2))
    first, second = pairs[rank % len(pairs)]
    weights = {first: (share := float(rng.uniform(0.2, 0.8))), second: 1 - share}
    if rng.random() < _CROSS_CHANCE:
        other = SEXES[1 - SEXES.index(sex)]
        weights = {name: weight * (1 - _CROSS_SHARE) for name, weight in weights.items()}
        weights[str(rng.choice(BASE_VOICES[other]))] = _CROSS_SHARE
    return tuple((name, round(weight, 3)) for name, weight in sorted(weights.items()))


def _blend_in(timbre: Blend, manner: str, strengths: Strengths) -> Blend:
    share = min(1.0, _PROSODY_SHARE * strengths.prosody)
    weights = {name: weight * (1 - share) for name, weight in timbre}
    weights[manner] = weights.get(manner, 0.0) + share
    return tuple((name, round(weight, 3)) for name, weight in sorted(weights.items()))


def _lean(rng: np.random.Generator, colour: str, secondary: str, strengths: Strengths) -> Prosody:
    """The customer's own prosody: neutral + scaled lean + scatter between people."""
    scatter = rng.standard_normal(6) * strengths.speaker_jitter
    rows = zip(
        _NEUTRAL.values(), _LEANS[colour].values(), _LEANS[secondary].values(),
        _SPEAKER_SCATTER.values(), scatter, strict=True,
    )  # fmt: skip
    values = []
    for calm, first, second, width, draw in rows:
        meant = (1 - _SECONDARY_SHARE) * first + _SECONDARY_SHARE * second
        values.append(calm + strengths.prosody * (meant - calm) + width * draw)
    return _bounded(values)


def sentence_prosody(rng: np.random.Generator, customer: Customer, strengths: Strengths) -> Prosody:
    """The prosody of one sentence: the customer's own + scatter between sentences."""
    scatter = rng.standard_normal(6) * strengths.sentence_jitter
    rows = zip(customer.prosody.values(), _SENTENCE_SCATTER.values(), scatter, strict=True)
    return _bounded([own + width * draw for own, width, draw in rows])


def _bounded(values: list[float]) -> Prosody:
    """Rate and pitch in steps of 1 % within what sounds human, no negative pauses."""
    rate, pitch, level, effort, pause, latency = values
    return Prosody(
        rate=round(float(np.clip(rate, 0.7, 1.45)), 2),
        pitch=round(float(np.clip(pitch, 0.8, 1.25)), 2),
        level_db=round(float(np.clip(level, -8, 6)), 2),
        effort_db=round(float(np.clip(effort, -6, 6)), 2),
        pause_s=round(max(0.0, pause), 3),
        latency_s=round(max(0.1, latency), 3),
    )


def _facts(rng: np.random.Generator, texts: Texts, sex: str) -> dict[str, str | int]:
    people = texts.people

    def draw(key: str) -> str:
        return str(rng.choice(people[key]))

    return {
        "name": draw("surnames") + people["address"][sex],
        "sex": sex,
        "age_band": draw("age_bands"),
        "occupation": draw("occupations"),
        "city": draw("cities"),
        "product_held": draw("holdings"),
        "complaint_count": int(rng.poisson(0.6)),
    }
