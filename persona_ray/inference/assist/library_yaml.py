"""A library of scripts as YAML.

name: retail
version: "7"
scripts:
  - id: card-fee-soothing
    product: credit_card          # left out: any
    topic: fee
    style: soothing
    text: 您别着急，首年年费是免的，...
    answers: [年费太贵了, 为什么还要收年费]
    when: {steps: [offer, objection], never: [angry]}
    max_uses: 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import Field, StringConstraints, ValidationError

from persona_ray.config.base import Section
from persona_ray.config.explain import as_yaml
from persona_ray.config.marked import read_marked
from persona_ray.conversation import Conditions, Emotion, Relation, Script
from persona_ray.errors import ConfigError, LibraryError
from persona_ray.inference.assist.script_checks import Placed

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from persona_ray.conversation import ScriptLibrary

Name = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f;|]*$", max_length=100, strip_whitespace=True)
]
Said = Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
_SHOWN = 40
# Mistakes of one script.
_MOST = 10


class WhenForm(Section):
    """Conditions as they are written."""

    steps: tuple[Name, ...] = ()
    campaigns: tuple[Name, ...] = ()
    relations: tuple[Relation, ...] = ()
    emotions: tuple[Emotion, ...] = ()
    never: tuple[Emotion, ...] = ()
    colours: tuple[Name, ...] = ()


class ScriptForm(Section):
    """A script as it is written."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    text: Said
    answers: tuple[Said, ...] = Field(min_length=1)
    product: Name = ""
    topic: Name = ""
    style: Name = ""
    when: WhenForm = WhenForm()
    max_uses: int = Field(1, ge=1, le=100)

    def script(self) -> Script:
        """As it flows between rooms."""
        fields = {name: getattr(self, name) for name in ("id", "text", "answers", "product")}
        return Script(
            **fields,
            topic=self.topic,
            style=self.style,
            conditions=Conditions(**dict(self.when)),
            max_uses=self.max_uses,
        )


class _Head(Section):
    name: Name = Field(min_length=1)
    version: Name = Field(min_length=1)
    scripts: tuple[Any, ...]


def read_yaml(data: bytes, file: str) -> tuple[str, str, list[Placed], list[str]]:
    """Name, version, scripts with their places, and what is wrong with the others. Raises
    LibraryError where the file is none at all."""
    try:
        marked = read_marked(data.decode("utf-8"), file)
    except UnicodeDecodeError:
        raise LibraryError(f"script library {file} is no text in UTF-8") from None
    except ConfigError as error:
        raise LibraryError(str(error)) from None
    try:
        head = _Head.model_validate(marked.tree)
    except ValidationError as error:
        raise LibraryError(explained(error, marked.at(()))) from None
    placed, wrong = [], []
    for number, row in enumerate(head.scripts):
        where = ("scripts", number)
        try:
            script = ScriptForm.model_validate(row).script()
        except ValidationError as error:
            wrong += [said(one, marked.at((*where, *one["loc"]))) for one in error.errors()[:_MOST]]
        else:
            placed.append(Placed(script, marked.at(where)))
    return head.name, head.version, placed, wrong


def write_yaml(library: ScriptLibrary) -> bytes:
    """What `read_yaml` reads back."""
    rows = [_row(script) for script in library.scripts.values()]
    tree = {"name": library.name, "version": library.version, "scripts": rows}
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=100)
    return text.encode()


def explained(error: ValidationError, place: str) -> str:
    """The first thing that is wrong, in words."""
    return said(error.errors()[0], place)


def said(mistake: ErrorDetails, place: str) -> str:
    """One of the things that are wrong, in words."""
    key = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"{place}: unknown key '{key}'"
    if mistake["type"] == "missing":
        return f"{place}: '{key}' is missing"
    if mistake["type"] in ("too_short", "string_too_short"):
        return f"{place}: {key} is empty"
    shown = as_yaml(mistake["input"])
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{place}: {key or 'the file'} = {shown}: {mistake['msg']}"


def _row(script: Script) -> dict[str, Any]:
    form = ScriptForm(
        id=script.id,
        text=script.text,
        answers=script.answers,
        product=script.product,
        topic=script.topic,
        style=script.style,
        when=WhenForm(
            steps=script.conditions.steps,
            campaigns=script.conditions.campaigns,
            relations=script.conditions.relations,
            emotions=script.conditions.emotions,
            never=script.conditions.never,
            colours=script.conditions.colours,
        ),
        max_uses=script.max_uses,
    )
    return form.model_dump(mode="json", exclude_defaults=True)
