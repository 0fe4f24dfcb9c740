"""The plan of every call: who says what, how, and after how much silence. No sound yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from persona_ray.synth.config import LOSING, SynthConfig
from persona_ray.synth.grammar import (
    NEUTRAL,
    STAGES,
    Composer,
    Sentence,
    Texts,
    load_texts,
)
from persona_ray.synth.speakers import (
    Agent,
    Customer,
    Prosody,
    make_agents,
    make_customers,
    sentence_prosody,
)
from persona_ray.synth.streams import Part, stream
from persona_ray.tts.base import Voice

_AGENT_PROSODY = Prosody(1.08, 1.0, 0.0, 0.0, 0.0, 0.4)
_FIRST_DAY = datetime(2026, 1, 5, 9, 0)
_DAYS = 84
_OVERLAP_S = 0.7
_LONG_SILENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. `gap_s` is the silence before it; negative: it starts over the last one."""

    speaker: str  # "agent" or "customer"
    text: str
    voice: Voice
    prosody: Prosody
    gap_s: float
    sentence: Sentence | None = None  # None: an agent's line or a filler
    dirt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call. `dirt` is its kind of dirt, if any; `number` counts calls from 1."""

    call_id: str
    number: int
    customer: Customer
    agent: Agent
    scene: str
    started_at: datetime
    turns: tuple[Turn, ...]
    dirt: str | None


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """Everything that will be spoken, filed and written."""

    config: SynthConfig
    customers: tuple[Customer, ...]
    agents: tuple[Agent, ...]
    calls: tuple[CallPlan, ...]

    def turns(self) -> Iterator[Turn]:
        """All turns of all calls."""
        for call in self.calls:
            yield from call.turns


def plan_archive(config: SynthConfig) -> ArchivePlan:
    """The plan of `config`: the same for the same config, whatever the engine."""
    texts = load_texts()
    customers = make_customers(config, texts)
    agents = make_agents(config, texts)
    composer = Composer(texts, config.strengths.text, config.sentence_characters)
    dirt = _deal_dirt(config)
    calls = []
    for index, customer in enumerate(customers):
        rng = stream(config, Part.CALLS, index)
        calls_each = config.calls_per_customer
        days = np.sort(rng.choice(_DAYS, size=calls_each, replace=calls_each > _DAYS))
        for nth, day in enumerate(days):
            number = index * config.calls_per_customer + nth + 1
            agent = agents[int(rng.integers(len(agents)))]
            scene = str(rng.choice(sorted(texts.scenes)))
            kind = dirt.get((index, nth))
            started = _FIRST_DAY + timedelta(days=int(day), minutes=int(rng.integers(9 * 60)))
            turns = _turns(rng, config, texts, composer, customer, agent, scene)
            calls.append(
                CallPlan(
                    call_id=f"K{number:05d}",
                    number=number,
                    customer=customer,
                    agent=agent,
                    scene=str(texts.scenes[scene]["title"]),
                    started_at=started,
                    turns=tuple(_dirty_turns(turns, kind)),
                    dirt=kind,
                )
            )
    return ArchivePlan(config, tuple(customers), tuple(agents), tuple(calls))


def _deal_dirt(config: SynthConfig) -> dict[tuple[int, int], str]:
    """(customer, call) -> kind. Unusable calls go to different customers."""
    rng = stream(config, Part.DIRT)
    kinds = sorted(config.dirt.kinds(), key=lambda kind: kind not in LOSING)
    dealt: dict[tuple[int, int], str] = {}
    order = [int(index) for index in rng.permutation(config.customers)]
    for place, kind in enumerate(kinds):
        # Round after round over the customers: nobody gets a second dirty call before all have one.
        index = order[place % len(order)]
        free = [nth for nth in range(config.calls_per_customer) if (index, nth) not in dealt]
        dealt[index, int(rng.choice(free))] = kind
    return dealt


def _turns(
    rng: np.random.Generator,
    config: SynthConfig,
    texts: Texts,
    composer: Composer,
    customer: Customer,
    agent: Agent,
    scene: str,
) -> list[Turn]:
    low, high = config.sentences_per_call
    stages = _stages(rng, int(rng.integers(low, high + 1)))
    filler_after = int(rng.integers(1, len(stages))) if len(stages) > 1 else 0
    has_filler = rng.random() < config.filler_rate

    def agent_turn(text: str, gap_s: float) -> Turn:
        return Turn("agent", text, agent.voice, _AGENT_PROSODY, gap_s)

    def agent_says(key: str) -> Turn:
        return agent_turn(str(rng.choice(texts.agents[key])), float(rng.uniform(0.3, 0.7)))

    def customer_turn(text: str, sentence: Sentence | None) -> Turn:
        prosody = sentence_prosody(rng, customer, config.strengths)
        voice = replace(customer.voice, pitch=prosody.pitch)
        return Turn("customer", text, voice, prosody, prosody.latency_s, sentence)

    turns = [agent_turn(texts.agents["greeting"][scene], 0.6)]
    replies = ("acknowledge", "inform", "reassure")
    for nth, stage in enumerate(stages):
        if nth:
            turns.append(agent_says(replies[(nth - 1) % len(replies)]))
            if has_filler and nth == filler_after:
                turns.append(customer_turn(str(rng.choice(texts.fillers)), None))
                turns.append(agent_says("inform"))
        leaning = _leaning(rng, config, customer)
        sentence = composer.compose(rng, scene, stage, leaning)
        turns.append(customer_turn(sentence.text, sentence))
    turns.append(agent_says("goodbye"))
    return turns


def _stages(rng: np.random.Generator, count: int) -> list[str]:
    """`count` stages in the order of a call: middle ones fall out or repeat."""
    if count == 1:
        return ["open"]
    middle = list(STAGES[1:-1])
    wanted = count - 2
    drawn = [middle[index % len(middle)] for index in range(wanted)]
    if wanted < len(middle):
        kept = np.sort(rng.choice(len(middle), size=wanted, replace=False))
        drawn = [middle[int(index)] for index in kept]
    drawn.sort(key=STAGES.index)
    return ["open", *drawn, "close"]


def _leaning(rng: np.random.Generator, config: SynthConfig, customer: Customer) -> str:
    draw, strengths = rng.random(), config.strengths
    if draw < strengths.primary:
        return customer.colour
    if draw < strengths.primary + strengths.secondary:
        return customer.secondary
    return NEUTRAL


def _dirty_turns(turns: list[Turn], kind: str | None) -> list[Turn]:
    """Dirt that changes the timing of a call; fillers are marked in every call."""
    marked = [
        replace(turn, dirt=("filler",))
        if turn.speaker == "customer" and turn.sentence is None
        else turn
        for turn in turns
    ]
    if kind == "long_silence":
        middle = len(marked) // 2
        marked[middle] = replace(marked[middle], gap_s=marked[middle].gap_s + _LONG_SILENCE_S)
    if kind == "overlap":
        # The customer cuts in on the agent once, the agent on the customer once.
        for place in (2, 3):
            if place < len(marked):
                marked[place] = _overlapping(replace(marked[place], gap_s=-_OVERLAP_S))
                marked[place - 1] = _overlapping(marked[place - 1])
    return marked


def _overlapping(turn: Turn) -> Turn:
    known = [kind for kind in turn.dirt if kind != "overlap"]
    return replace(turn, dirt=(*known, "overlap"))
