"""From several annotators' labels to the one label of a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.agreement import Agreement, measure_agreement
from persona_ray.corpus.annotation.labels import valid_labels
from persona_ray.corpus.annotation.matching import ClipIndex
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation, Store
from persona_ray.types import ClipInfo


@dataclass(frozen=True, slots=True)
class Conflict:
    """A clip whose annotators do not settle on a label; `votes` by annotator."""

    clip_id: str
    votes: Mapping[str, str]

    def __str__(self) -> str:
        votes = ", ".join(f"{name}: {label}" for name, label in sorted(self.votes.items()))
        return f"{self.clip_id} ({votes})"


@dataclass(frozen=True, slots=True)
class Resolution:
    """`labels` holds the clips that can be trained on, and their labels.

    Left out are clips in `conflicts`, those on which annotators agree to be `uncertain`, and
    `unannotated` clips. `unmatched` annotations belong to no clip of the corpus.
    """

    labels: Mapping[str, str]
    conflicts: tuple[Conflict, ...]
    uncertain: tuple[str, ...]
    unannotated: int
    unmatched: tuple[Annotation, ...]
    agreement: Agreement

    def describe(self) -> list[str]:
        """Lines for people."""
        counts = Counter(self.labels.values())
        shares = ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))
        return [
            f"{len(self.labels)} clips labelled ({shares or 'none'}), "
            f"{len(self.uncertain)} uncertain, {len(self.conflicts)} in conflict, "
            f"{self.unannotated} not annotated, {len(self.unmatched)} annotations without a clip",
            self.agreement.describe(),
        ]


def resolve_labels(store: Store, infos: Iterable[ClipInfo], config: AnnotationConfig) -> Resolution:
    """Settle each clip of the corpus on one label.

    The adjudicator's label always wins. Otherwise `majority` takes the label with most votes (a tie
    is a conflict), `adjudicated` only what all annotators agree on. Annotations are matched to the
    clips at hand anew, so that labels survive a call being cut differently.

    Also notes whose annotations were imported before their call was in the corpus, so that
    forgetting a customer finds them. Raises AnnotationError for a label that is not configured.
    """
    index = ClipIndex(infos)
    annotations = list(store.annotations.all())
    check_labels(annotations, config)
    if any(item.customer_id is None for item in annotations):
        store.annotations.link(index.customer_of_call)
    matched = index.match_all(annotations, config.min_overlap)
    votes = {
        clip_id: {name: item.label for name, item in by_annotator.items()}
        for clip_id, by_annotator in matched.by_clip.items()
    }
    return resolve_votes(votes, len(index), matched.unmatched, config)


def resolve_votes(
    votes: Mapping[str, Mapping[str, str]],
    clips: int,
    unmatched: tuple[Annotation, ...],
    config: AnnotationConfig,
) -> Resolution:
    """The same of `votes` by clip and annotator, in a corpus of `clips` clips."""
    labels: dict[str, str] = {}
    conflicts: list[Conflict] = []
    uncertain: list[str] = []
    for clip_id in sorted(votes):
        label = _settle(votes[clip_id], config)
        if label is None:
            conflicts.append(Conflict(clip_id, votes[clip_id]))
        elif label == config.uncertain:
            uncertain.append(clip_id)
        else:
            labels[clip_id] = label
    return Resolution(
        labels=labels,
        conflicts=tuple(conflicts),
        uncertain=tuple(uncertain),
        unannotated=clips - len(votes),
        unmatched=unmatched,
        agreement=measure_agreement(votes.values(), config.adjudicator),
    )


def _settle(votes: Mapping[str, str], config: AnnotationConfig) -> str | None:
    """The label of one clip; None for a conflict."""
    if config.adjudicator in votes:
        return votes[config.adjudicator]
    ranked = Counter(votes.values()).most_common()
    if len(ranked) == 1:
        return ranked[0][0]
    if config.resolution == "adjudicated" or ranked[0][1] == ranked[1][1]:
        return None
    return ranked[0][0]


def check_labels(annotations: Iterable[Annotation], config: AnnotationConfig) -> None:
    counts = Counter(item.label for item in annotations)
    unknown = sorted(counts.keys() - set(valid_labels(config)))
    if unknown:
        listed = ", ".join(f"'{label}' ({counts[label]} annotations)" for label in unknown)
        raise AnnotationError(
            f"the store has labels that are not configured: {listed}; valid are "
            f"{', '.join(valid_labels(config))}: add them to annotation.labels, or name "
            "another store.url"
        )
