"""Records of one assisted call. Shared vocabulary stands in `persona_ray.conversation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The log reads these records back by their annotations (`journal.py`).
from persona_ray.conversation import Emotion, Relation, Scene, Script, Speaker, Tone
from persona_ray.types import Word

# A probability for every emotion, summing to 1.
Probabilities = Mapping[Emotion, float]


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one side said between two pauses: `words` and times in seconds of the call.

    `tones`: of each word, beside `tone`, that of the whole; as many as words. `overlapped`: the
    other side talked over it, so that its tones say nothing.
    """

    speaker: Speaker
    text: str
    start_s: float
    end_s: float
    tone: Tone
    words: tuple[Word, ...] = ()
    tones: tuple[Tone, ...] = ()
    overlapped: bool = False


@dataclass(frozen=True, slots=True)
class NotHeard:
    """A stretch of sound that gives no sentence: `reason` is `silence`, `echo` (the other side's
    voice, as the agent's on the customer's channel) or `no_words`."""

    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class KeywordEmotion:
    """A word or phrase of a sentence that carries emotion: characters `start` to `end` of its
    text. `lexicon`, `model` and `combined` are distributions, `model` empty where there is none;
    `strength` is the lexicon's, 0 to 1, after words of degree and negation."""

    text: str
    start: int
    end: int
    strength: float
    lexicon: Probabilities
    model: Probabilities
    combined: Probabilities


@dataclass(frozen=True, slots=True)
class Mood:
    """Emotion of a sentence. `lexicon` and `model` are what each part alone says, `model` empty
    where there is none; `combined` is weighted. `valence` -1 to 1: expected over `combined`."""

    combined: Probabilities
    lexicon: Probabilities
    model: Probabilities
    valence: float
    keywords: tuple[KeywordEmotion, ...] = ()

    @property
    def emotion(self) -> Emotion:
        """The likeliest."""
        return max(self.combined, key=lambda emotion: self.combined[emotion])


@dataclass(frozen=True, slots=True)
class SpeechInformation:
    """All that is known when a customer has ended a sentence. `before`: the last turns, oldest
    first, without it. `colour`: probabilities of personality colours, empty where unknown."""

    sentence: Sentence
    scene: Scene
    relation: Relation
    mood: Mood
    before: tuple[Sentence, ...] = ()
    colour: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A script that could be said. `parts`: what its `score` adds up from (`target`, `scene`,
    `relation`, `emotion`, `colour`, `repeated`). `propensity`: the chance with which the policy
    that chose draws it to be the first; those of all candidates sum to 1."""

    script: Script
    score: float
    parts: Mapping[str, float]
    propensity: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to put before the agent. `candidates`: all that were weighed, by score; `shown`: places
    among them, the large one first. `explored`: the large one was drawn, not the best. `because`:
    codes of what speaks for it, most telling first (see `reasons.py`)."""

    candidates: tuple[Candidate, ...]
    shown: tuple[int, ...]
    explored: bool
    because: tuple[str, ...]
    library: str
    ranker: str

    @property
    def first(self) -> Candidate:
        """The large one."""
        return self.candidates[self.shown[0]]


@dataclass(frozen=True, slots=True)
class NoSuggestion:
    """Nothing is pushed. `reason`: `nothing_fits` (conditions leave some scripts, none is near: a
    gap of the library), `no_script` (conditions leave none), `empty_library`, `unknown_scene`,
    `nothing_to_say` (the sentence asks for no answer)."""

    reason: str
