"""Customers' turns of conversations as the service would meet them, with what was answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from persona_ray.conversation import Emotion, Scene, Speaker, Tone
from persona_ray.corpus.conversations import Conversation, ConversationTurn
from persona_ray.inference.assist.ranking import as_query
from persona_ray.inference.assist.records import Mood, Sentence, SpeechInformation
from persona_ray.inference.assist.relations import relation_of
from persona_ray.models.ranker.records import TURNS_BEFORE, Pair, Reply, reply_of


@dataclass(frozen=True, slots=True)
class AskedTurn:
    """`fits`: the scripts that are labelled to answer it; `script` was said by the agent, with
    `score` for what came of it; empty and None where nobody knows. `said`: what the agent said
    instead of a script, empty where it was one or nobody answered."""

    information: SpeechInformation
    customer: str
    fits: frozenset[str]
    script: str
    score: float | None
    said: str = ""

    @property
    def pair(self) -> Pair | None:
        """What a ranker learns from."""
        if not self.script or self.score is None:
            return None
        return Pair(as_query(self.information), self.script, self.score, self.customer)

    @property
    def reply(self) -> Reply | None:
        """What it teaches beside the pairs."""
        if not self.said:
            return None
        return reply_of(as_query(self.information), self.said, self.customer)


def asked_turns(
    conversations: Iterable[Conversation], mood: Callable[[Sentence], Mood] | None = None
) -> Iterator[AskedTurn]:
    """Every customer's turn, its relation to those before by the rules, as in a call. `mood` reads
    the emotion, as in a call, too; None: as labelled."""
    for one in conversations:
        sentences = [_sentence(turn) for turn in one.turns]
        for at, turn in enumerate(one.turns):
            if turn.speaker is not Speaker.CUSTOMER:
                continue
            answer = one.turns[at + 1] if at + 1 < len(one.turns) else None
            said = answer if answer and answer.speaker is Speaker.AGENT else None
            yield AskedTurn(
                information=SpeechInformation(
                    sentence=sentences[at],
                    scene=Scene(one.product, turn.step, one.campaign),
                    relation=relation_of(turn.text, sentences[:at]),
                    mood=mood(sentences[at]) if mood else labelled_mood(turn),
                    before=tuple(sentences[max(0, at - TURNS_BEFORE) : at]),
                    colour={one.colour: 1.0} if one.colour else {},
                ),
                customer=one.person,
                fits=frozenset(turn.fits),
                script=said.script if said else "",
                score=said.score if said else None,
                said=said.text if said and not said.script else "",
            )


def pairs_of(turns: Iterable[AskedTurn]) -> list[Pair]:
    return [pair for pair in (turn.pair for turn in turns) if pair is not None]


def replies_of(turns: Iterable[AskedTurn]) -> list[Reply]:
    return [reply for reply in (turn.reply for turn in turns) if reply is not None]


def answers_of(turn: AskedTurn, threshold: float) -> frozenset[str]:
    """The scripts that answer a turn: those labelled, else what went well."""
    if turn.fits:
        return turn.fits
    well = turn.score is not None and turn.score >= threshold
    return frozenset([turn.script]) if turn.script and well else frozenset()


def labelled_mood(turn: ConversationTurn) -> Mood:
    """The labelled emotion for certain; what is not labelled is neutral."""
    emotion = turn.emotion or Emotion.NEUTRAL
    shares = {one: float(one is emotion) for one in Emotion}
    return Mood(shares, shares, shares, valence=0.0)


def _sentence(turn: ConversationTurn) -> Sentence:
    # As of a sentence that was talked over: a tone that nobody labelled says nothing.
    return Sentence(
        turn.speaker, turn.text, 0.0, 0.0, turn.tone or Tone(), overlapped=turn.tone is None
    )
