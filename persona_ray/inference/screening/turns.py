"""Turn-taking: who has the word in a screened call, since when, and what is being waited for."""

from __future__ import annotations

from dataclasses import dataclass, field

from persona_ray.inference.screening.records import LineKind, Speaker, Turn

# Sound of the robot that does not go on for so long has failed.
STUCK_S = 20.0
# Talk that no pause has ended for so long is taken for noise.
LONGEST_TALK_S = 60.0


@dataclass(slots=True)
class Saying:
    """What the robot says: `said` of it has begun to sound. `line` or `text`, as in `Say`;
    `place` among the turns."""

    number: int
    place: int
    line: LineKind | None
    text: str
    start_s: float
    said: str = ""
    alive_s: float = 0.0


@dataclass(slots=True)
class Asked:
    """A question to a part: the last one's number, and since when its answer is waited for
    (None: none is)."""

    number: int = 0
    since_s: float | None = None

    @property
    def open(self) -> bool:
        return self.since_s is not None

    def ask(self, now_s: float) -> int:
        self.number += 1
        self.since_s = now_s
        return self.number

    def drop(self) -> None:
        """The answer is not wanted any more."""
        self.since_s = None

    def close(self, number: int) -> bool:
        """Whether `number` is the answer that is waited for; then it is no more."""
        if not self.open or number != self.number:
            return False
        self.since_s = None
        return True


@dataclass(slots=True)
class Utterance:
    """Something the caller said that is being recognised; `place` among the turns."""

    place: int
    start_s: float
    end_s: float
    since_s: float


@dataclass(slots=True)
class Floor:
    """Who speaks. `talking_s` and `quiet_s`: since when the caller talks, and since when it is the
    caller's turn and nobody does; None where that is not so. Turns stand in the order of their
    `places`: the caller's times are those of his sound, which may come late or early."""

    saying: Saying | None = None
    sayings: int = 0
    talking_s: float | None = None
    quiet_s: float | None = None
    silences: int = 0
    utterances: dict[int, Utterance] = field(default_factory=dict)
    last_utterance: int = 0
    places: int = 0

    @property
    def talking(self) -> bool:
        return self.talking_s is not None

    @property
    def hearing(self) -> bool:
        """The caller talks, or what was said is not known yet."""
        return self.talking or bool(self.utterances)

    def say(self, line: LineKind | None, text: str, now_s: float) -> int:
        """The robot takes the word; the saying's number."""
        self.sayings += 1
        self.places += 1
        self.saying = Saying(self.sayings, self.places, line, text, now_s, alive_s=now_s)
        self.quiet_s = None
        return self.sayings

    def speaking(self, number: int, said: str, now_s: float) -> bool:
        """It goes on: `said` has begun to sound. Whether this is news."""
        if self.saying is None or self.saying.number != number:
            return False
        self.saying.said, self.saying.alive_s = said, now_s
        return True

    def silence_robot(self, now_s: float) -> tuple[int, Turn] | None:
        """The robot is silent from now on; what it said is a turn, if it said anything, with its
        place."""
        saying, self.saying = self.saying, None
        if saying is None or not saying.said:
            return None
        return saying.place, Turn(Speaker.ROBOT, saying.said, saying.start_s, now_s)

    def begin_talk(self, now_s: float) -> None:
        if not self.talking:
            self.talking_s = now_s
        self.quiet_s = None

    def end_talk(self) -> None:
        self.talking_s = None

    def listen(self, now_s: float) -> None:
        """It is the caller's turn."""
        self.quiet_s = now_s

    def utterance(self, number: int, start_s: float, end_s: float, now_s: float) -> bool:
        """An utterance has ended and is to be recognised; False for one that is known."""
        if number <= self.last_utterance:
            return False
        self.end_talk()
        self.quiet_s = None
        self.last_utterance = number
        self.places += 1
        self.utterances[number] = Utterance(self.places, start_s, max(start_s, end_s), now_s)
        return True
