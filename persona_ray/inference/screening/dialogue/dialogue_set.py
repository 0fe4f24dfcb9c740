"""A dialogue set: exchanges, and what the robot says of itself. A YAML file, checked strictly."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from persona_ray.config.base import Section
from persona_ray.config.explain import as_yaml
from persona_ray.config.marked import Marked, Place, read_marked
from persona_ray.errors import ConfigError
from persona_ray.inference.screening.records import LineKind

SHIPPED = "zh.yaml"
ANY = "any"
_SHOWN = 40

Text = Annotated[str, Field(min_length=1, max_length=200)]
# Two at least: what has just been said is not said again.
Lines = Annotated[tuple[Text, ...], Field(min_length=2)]

# What an answer never holds: it could only be of the user, or a promise in the user's name.
_FORBIDDEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a number", re.compile(r"[0-9０-９]|[零〇一二三四五六七八九十百千两]{3,}")),
    ("a name", re.compile(r"(?:我叫|我姓|机主(?:叫|姓|是)|他(?:叫|姓)|她(?:叫|姓))")),
    ("where the user is", re.compile(r"(?:他|她|机主)(?:现在|目前|人)?(?:在|不在|住)")),
    (
        "a promise",
        re.compile(r"保证|答应|同意|[一肯]定会|(?:马上|这就)[转付汇]"),
    ),
    ("a gap that nothing fills", re.compile(r"[{}]")),
)


class Exchange(Section):
    """What callers say in one situation, and what may be answered."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    category: str = Field("", description="what it is about; empty: any call")
    aside: bool = Field(False, description="left out of a turn that also says something else")
    says: Annotated[tuple[Text, ...], Field(min_length=1)]
    answers: Lines


class DialogueSet(Section):
    """All of it. `version` is the editors' own; `fingerprint` tells any two contents apart."""

    version: Annotated[str, Field(min_length=1)]
    openings: Lines
    silences: Lines
    repeats: Lines
    messages: Lines
    goodbyes: Lines
    go_on: dict[str, Lines]
    exchanges: Annotated[tuple[Exchange, ...], Field(min_length=1)]

    @cached_property
    def fingerprint(self) -> str:
        """Of what is in it, however the file is laid out."""
        content = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """As it stands in a verdict: `dialogue-1+9f86d081884c`."""
        return f"dialogue-{self.version}+{self.fingerprint}"

    def lines(self, kind: LineKind) -> tuple[str, ...]:
        """What the robot says of itself."""
        return {
            LineKind.OPENING: self.openings,
            LineKind.SILENCE: self.silences,
            LineKind.REPEAT: self.repeats,
            LineKind.MESSAGE: self.messages,
            LineKind.GOODBYE: self.goodbyes,
        }[kind]

    def spoken(self) -> Iterator[str]:
        """Everything that the robot may ever say."""
        for _, text in _spoken(self):
            yield text


def load_dialogue_set(path: str, categories: Collection[str]) -> DialogueSet:
    """The set in the file `path`, or the one that is shipped where `path` is empty.

    `categories` are those of the policy: exchanges may be of no other. Raises ConfigError with the
    file and line of the mistake.
    """
    if not path:
        source = resources.files("persona_ray.inference.screening.dialogue").joinpath(SHIPPED)
        return parse_dialogue_set(source.read_text(encoding="utf-8"), SHIPPED, categories)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"dialogue set {path} does not exist: set screening.dialogue.set to another, "
            "or leave it empty for the shipped one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"dialogue set {path} cannot be read: {error}") from None
    return parse_dialogue_set(text, path, categories)


def parse_dialogue_set(text: str, file: str, categories: Collection[str]) -> DialogueSet:
    """The set that `text` is; `file` is its name in errors, which are as of `load_dialogue_set`."""
    marked = read_marked(text, file)
    if not isinstance(marked.tree, dict):
        keys = ", ".join(DialogueSet.model_fields)
        raise ConfigError(f"{file}: a dialogue set is a map with the keys {keys}")
    try:
        found = DialogueSet.model_validate(marked.tree)
    except ValidationError as error:
        raise ConfigError(_explained(error, marked)) from None
    mistake = next(_mistakes(found, categories), None)
    if mistake is not None:
        place, what = mistake
        raise ConfigError(f"{marked.at(place)}: {what}")
    return found


def _explained(error: ValidationError, marked: Marked) -> str:
    first = error.errors()[0]
    place: Place = first["loc"]
    where, key = marked.at(place), ".".join(map(str, place))
    if first["type"] == "extra_forbidden":
        schema = Exchange if place[0] == "exchanges" else DialogueSet
        near = difflib.get_close_matches(str(place[-1]), schema.model_fields, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        valid = ", ".join(schema.model_fields)
        return f"{where}: unknown key '{place[-1]}': {hint}valid keys: {valid}"
    if first["type"] == "missing":
        return f"{where}: '{place[-1]}' is missing"
    if first["type"] == "too_short" and isinstance(first["input"], list | tuple):
        least = first["ctx"]["min_length"]
        return f"{where}: {key} has {len(first['input'])} of at least {least} lines: add some"
    words = {"tuple_type": "must be a list of texts", "string_type": "must be text, in quotes"}
    shown = as_yaml(first["input"])
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{where}: {key} = {shown}: {words.get(first['type'], first['msg'])}"


def _mistakes(found: DialogueSet, categories: Collection[str]) -> Iterator[tuple[Place, str]]:
    """What no type says: places and words."""
    yield from _wrong_categories(found, categories)
    ids: dict[str, int] = {}
    said: dict[str, str] = {}
    for number, exchange in enumerate(found.exchanges):
        if exchange.id in ids:
            yield (
                ("exchanges", number, "id"),
                f"the id '{exchange.id}' is also that of exchange {ids[exchange.id] + 1}: "
                "name it otherwise",
            )
        ids[exchange.id] = number
        for nth, text in enumerate(exchange.says):
            if text in said:
                yield (
                    ("exchanges", number, "says", nth),
                    f"'{text}' is already said in '{said[text]}': no call could be both",
                )
            said[text] = exchange.id
    for place, text in _spoken(found):
        for what, pattern in _FORBIDDEN:
            part = pattern.search(text)
            if part is not None:
                yield (
                    place,
                    f"the robot would say {what} ('{part.group()}' in '{text}'): it tells nothing "
                    "of the user; reword it",
                )


def _wrong_categories(
    found: DialogueSet, categories: Collection[str]
) -> Iterator[tuple[Place, str]]:
    valid = ", ".join(sorted(categories))
    unknown = f"unknown category '{{}}': screening.policy.categories has {valid}"
    if ANY not in found.go_on:
        yield ("go_on",), f"'{ANY}' is missing: what to say where nothing is known of a call"
    for category in found.go_on:
        if category != ANY and category not in categories:
            yield (
                ("go_on", category),
                unknown.format(category),
            )
    for number, exchange in enumerate(found.exchanges):
        if exchange.category and exchange.category not in categories:
            yield (
                ("exchanges", number, "category"),
                unknown.format(exchange.category),
            )


def _spoken(found: DialogueSet) -> Iterator[tuple[Place, str]]:
    for name in ("openings", "silences", "repeats", "messages", "goodbyes"):
        for nth, text in enumerate(getattr(found, name)):
            yield (name, nth), text
    for category, lines in found.go_on.items():
        for nth, text in enumerate(lines):
            yield ("go_on", category, nth), text
    for number, exchange in enumerate(found.exchanges):
        for nth, text in enumerate(exchange.answers):
            yield ("exchanges", number, "answers", nth), text
