"""What a check finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from persona_ray.errors import PersonaRayError


class Outcome(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line, and what to do where it is not well; `fix` empty: the line says it, too."""

    check: str
    outcome: Outcome
    said: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


class NotWellError(Exception):
    """A check ends with this: `fix` says what to do."""

    def __init__(self, said: str, fix: str, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(said)
        self.said, self.fix, self.outcome = said, fix, outcome


def warning(said: str, fix: str) -> NotWellError:
    """Work goes on for now."""
    return NotWellError(said, fix, Outcome.WARNING)


def not_applicable(said: str) -> NotWellError:
    """There is nothing to look at."""
    return NotWellError(said, "", Outcome.NOT_APPLICABLE)


def finding_of(check: str, error: Exception) -> Finding:
    """What a check that raised found."""
    if isinstance(error, NotWellError):
        return Finding(check, error.outcome, one_line(error.said), error.fix)
    if isinstance(error, PersonaRayError):
        # Its message names the thing, the value and the fix.
        return Finding(check, Outcome.FAILED, one_line(" ".join(error.lines())))
    said = one_line(f"{type(error).__name__}: {error}")
    return Finding(check, Outcome.FAILED, said[:300], "this is not foreseen: look at what it names")


def one_line(text: str) -> str:
    return " ".join(text.split())
