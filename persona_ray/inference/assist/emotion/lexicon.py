"""The lexicon of emotions as a file: words with strengths, what strengthens, negates, contrasts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from persona_ray.config.base import Section
from persona_ray.config.marked import Place, read_marked
from persona_ray.conversation import Emotion
from persona_ray.errors import ConfigError
from persona_ray.inference.assist.library_yaml import explained

SHIPPED = "zh.yaml"


def folded(text: str) -> str:
    """Without case, character by character: places stay where they are."""
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=40, pattern=r"^\S+$"),
    AfterValidator(folded),
]
Share = Annotated[float, Field(ge=0, le=1)]
Degree = Annotated[float, Field(gt=0, le=4)]


class Lexicon(Section):
    """All of it. `version` is the owner's word.

    `entries`: strength, 0 to 1, of each word under each emotion that it shows; a word may stand
    under several. `degrees`: strength s becomes 1 - (1 - s) ** degree after such a word, and after
    one of `after` behind it. `negations`: how much of what is negated they take back; `negated`:
    what is felt then, by the strength of what is not. `ambivalent` words have `ambivalent_share`
    of their strength in a sentence. What stands before the last of `contrasts` counts
    `before_contrast`. `exceptions` are words that only look as if they held another.
    """

    version: Annotated[str, Field(min_length=1)]
    entries: dict[Emotion, dict[Text, Share]]
    degrees: dict[Text, Degree] = Field(default_factory=dict)
    after: dict[Text, Degree] = Field(default_factory=dict)
    negations: dict[Text, Share] = Field(default_factory=dict)
    negated: dict[Emotion, dict[Emotion, Share]] = Field(default_factory=dict)
    contrasts: tuple[Text, ...] = ()
    before_contrast: Share = 0.5
    ambivalent: frozenset[Text] = frozenset()
    ambivalent_share: Share = 0.5
    exceptions: frozenset[Text] = frozenset()

    @cached_property
    def words(self) -> dict[str, dict[Emotion, float]]:
        """Strengths of each word."""
        found: dict[str, dict[Emotion, float]] = {}
        for emotion, rows in self.entries.items():
            for word, strength in rows.items():
                found.setdefault(word, {})[emotion] = strength
        return found

    @cached_property
    def longest(self) -> int:
        """Characters of the longest word that is looked for."""
        known = (self.words, self.degrees, self.negations, self.contrasts, self.exceptions)
        return max(len(word) for words in known for word in words)


def load_lexicon(path: Path | None) -> Lexicon:
    """That of the file, or the shipped one. Raises ConfigError with file and line of a mistake."""
    if path is None:
        source = resources.files("persona_ray.inference.assist.emotion").joinpath(SHIPPED)
        return parse_lexicon(source.read_text(encoding="utf-8"), SHIPPED)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"lexicon {path} does not exist: set assist.emotion.lexicon to another, or leave it "
            "empty for the shipped one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"lexicon {path} cannot be read: {error}") from None
    return parse_lexicon(text, str(path))


def parse_lexicon(text: str, file: str) -> Lexicon:
    """The lexicon that `text` is; `file` is its name in errors, as of `load_lexicon`."""
    marked = read_marked(text, file)
    try:
        found = Lexicon.model_validate(marked.tree)
    except ValidationError as error:
        place = tuple(error.errors()[0]["loc"])
        raise ConfigError(explained(error, marked.at(place))) from None
    mistake = next(_mistakes(found), None)
    if mistake is not None:
        raise ConfigError(f"{marked.at(mistake[0])}: {mistake[1]}")
    return found


def _mistakes(found: Lexicon) -> Iterator[tuple[Place, str]]:
    """What no type says: places and words."""
    if not found.words:
        yield ("entries",), "a lexicon needs a word at least"
    if Emotion.NEUTRAL in found.entries:
        yield ("entries", "neutral"), "what is neutral needs no entry: leave it out"
    for emotion, into in found.negated.items():
        if emotion in into:
            yield (
                ("negated", emotion.value),
                f"'{emotion}' negated is still '{emotion}': name others, or none",
            )
    for word in sorted(found.ambivalent):
        if word not in found.words:
            yield ("ambivalent",), f"'{word}' is marked as ambivalent, but is no entry"
    places: dict[str, str] = {}
    # A word that is both a degree and an entry is told by what follows it; no others can be.
    for name in ("exceptions", "contrasts", "negations", "entries"):
        words = found.words if name == "entries" else getattr(found, name)
        for word in sorted(words):
            if word in places:
                yield (name, word), f"'{word}' stands under {places[word]} too: keep one"
            places[word] = name
