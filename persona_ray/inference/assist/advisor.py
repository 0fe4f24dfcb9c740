"""Seam `Advisor`, by an emotion reader and a ranker in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from persona_ray.inference.assist.choice import choose

if TYPE_CHECKING:
    from persona_ray.config.assist import ChoiceConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.ranking import ScriptRanker
    from persona_ray.inference.assist.records import (
        Mood,
        NoSuggestion,
        Sentence,
        SpeechInformation,
        Suggestion,
    )


class ReadsMoods(Protocol):
    """Whoever reads emotion. Safe to be asked from many threads."""

    @property
    def name(self) -> str: ...

    def mood(self, sentence: Sentence) -> Mood: ...


class ModelAdvisor:
    """Answers in threads, so that a call that is being read holds up no other."""

    def __init__(self, moods: ReadsMoods, ranker: ScriptRanker, config: ChoiceConfig) -> None:
        self._moods = moods
        self._ranker = ranker
        self._config = config

    @property
    def names(self) -> Mapping[str, str]:
        """Of its models: `emotion` and `ranker`."""
        return {"emotion": self._moods.name, "ranker": self._ranker.name}

    async def mood(self, sentence: Sentence) -> Mood:
        return await asyncio.to_thread(self._moods.mood, sentence)

    async def advise(
        self,
        information: SpeechInformation,
        library: ScriptLibrary,
        shown: Mapping[str, int],
        draw: float,
    ) -> Suggestion | NoSuggestion:
        return await asyncio.to_thread(self._advise, information, library, shown, draw)

    def _advise(
        self,
        information: SpeechInformation,
        library: ScriptLibrary,
        shown: Mapping[str, int],
        draw: float,
    ) -> Suggestion | NoSuggestion:
        targets = self._ranker.targets(information, library)
        return choose(information, library, targets, shown, draw, self._config, self._ranker.name)
