"""A ranker on turns that it has not learned from: what it puts up, and when it puts up nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from persona_ray.evaluation.ranking import GapRow, Ranked, share_of
from persona_ray.inference.assist.choice import choose, eligible
from persona_ray.inference.assist.records import (
    Candidate,
    NoSuggestion,
    SpeechInformation,
    Suggestion,
)
from persona_ray.launch.assist.asked import AskedTurn, answers_of

if TYPE_CHECKING:
    from persona_ray.config.assist import ChoiceConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.ranking import ScriptRanker

# By id, how well each script fits; more than any is a gap.
Targets = Callable[[SpeechInformation, "ScriptLibrary"], Mapping[str, float]]


def judged_turns(turns: Iterable[AskedTurn], threshold: float) -> list[AskedTurn]:
    """Those of which an answer is known."""
    return [turn for turn in turns if answers_of(turn, threshold)]


def ranked_by(
    targets: Targets, turns: Sequence[AskedTurn], library: ScriptLibrary, threshold: float
) -> list[Ranked]:
    """The scripts that may be said, by `targets` alone."""
    found = []
    for turn in turns:
        may = eligible(turn.information, library, {})
        fits = targets(turn.information, library)
        scripts = () if isinstance(may, NoSuggestion) else may
        order = sorted(scripts, key=lambda one, by=fits: (-by[one.id], one.id))  # type: ignore[misc]
        names = tuple(script.id for script in order)
        found.append(Ranked(turn.customer, names, answers_of(turn, threshold)))
    return found


def chosen_by(
    ranker: ScriptRanker,
    turns: Sequence[AskedTurn],
    library: ScriptLibrary,
    threshold: float,
    config: ChoiceConfig,
) -> list[Ranked]:
    """What the agent would see, the large one first: conditions and bonuses decide with it, and
    nothing is tried out."""
    still = config.model_copy(update={"explore": 0.0})
    found = []
    for turn in turns:
        targets = ranker.targets(turn.information, library)
        chosen = choose(turn.information, library, targets, {}, 0.0, still)
        names = tuple(one.script.id for one in _candidates(chosen))
        found.append(Ranked(turn.customer, names, answers_of(turn, threshold)))
    return found


def without(*groups: str) -> Callable[[SpeechInformation], SpeechInformation]:
    """A sentence of which `colour` or `tone` is not known."""

    def blind(information: SpeechInformation) -> SpeechInformation:
        if "colour" in groups:
            information = replace(information, colour={})
        if "tone" in groups:
            unheard = replace(information.sentence, overlapped=True)
            information = replace(information, sentence=unheard)
        return information

    return blind


def gaps(
    targets: Targets,
    turns: Sequence[AskedTurn],
    library: ScriptLibrary,
    threshold: float,
    least: float,
    resamples: int,
) -> GapRow:
    """How often a script is put up for turns that have one, and for the same turns once all scripts
    of the topic are taken out of the library."""
    bests = best_scores(targets, turns, library, threshold)
    rows = [
        [
            Ranked(turn.customer, ("yes",) if score >= least else (), frozenset(["yes"]))
            for turn, score in zip(turns, scores, strict=True)
        ]
        for scores in zip(*bests, strict=True)
    ]
    shares = [share_of(lambda turn: turn.place == 1, row, resamples) for row in rows]
    return GapRow(fitting=shares[0], taken_out=shares[1])


def best_scores(
    targets: Targets, turns: Sequence[AskedTurn], library: ScriptLibrary, threshold: float
) -> list[tuple[float, float]]:
    """Of each turn, the best score of any script that may be said, and the best that is left once
    the scripts about what was asked are taken out."""
    nothing = float("-inf")
    found = []
    for turn in turns:
        may = eligible(turn.information, library, {})
        fits = targets(turn.information, library)
        asked = answers_of(turn, threshold)
        topics = {library.scripts[id_].topic for id_ in asked if id_ in library.scripts} - {""}
        scripts = () if isinstance(may, NoSuggestion) else may
        whole = [fits[script.id] for script in scripts]
        left = [
            fits[script.id]
            for script in scripts
            if script.id not in asked and script.topic not in topics
        ]
        found.append((max(whole, default=nothing), max(left, default=nothing)))
    return found


def _candidates(chosen: Suggestion | NoSuggestion) -> Sequence[Candidate]:
    return () if isinstance(chosen, NoSuggestion) else chosen.candidates
