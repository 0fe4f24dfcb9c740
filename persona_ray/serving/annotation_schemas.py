"""What annotation is asked and answers, and how answers are made of records."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, StringConstraints

from persona_ray.serving.schemas import Strict

if TYPE_CHECKING:
    from persona_ray.config.corpus import AnnotationConfig
    from persona_ray.corpus.annotation.resolve import Resolution
    from persona_ray.store import Annotation
    from persona_ray.types import ClipInfo

_MOST_PAIRS = 50

Annotator = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$"
    ),
]


class LabelRequest(Strict):
    """What an annotator says of a clip."""

    annotator: Annotator | None = Field(
        None, description="another than the key's name: with the scope admin alone"
    )
    label: str = Field(max_length=40, description="a configured label, or the uncertain one")
    note: str = Field("", max_length=1000, description="for the others")


class LabelAnswer(BaseModel):
    """What stands of one annotator on a clip."""

    annotator: str
    label: str
    note: str


class ClipItem(BaseModel):
    """A clip to be heard. `votes`: of everybody, where a conflict is to be resolved; else nobody
    is told what others say."""

    clip_id: str
    call_id: str
    customer_id: str
    start_s: float
    end_s: float
    text: str
    scene: str
    facts: dict[str, str]
    mine: LabelAnswer | None
    votes: dict[str, str]
    confidence: float | None = Field(description="of the served model, where it was asked")


class QueueAnswer(BaseModel):
    """The next clips. `left` is the length of the whole queue; of `pool` clips the model has judged
    `judged`, where the least certain come first."""

    clips: list[ClipItem]
    left: int
    judged: int
    pool: int
    judging: bool


class PairAnswer(BaseModel):
    """Two annotators on the clips that both labelled."""

    first: str
    second: str
    clips: int
    same: int
    alpha: float | None


class OverviewAnswer(BaseModel):
    """Where the work stands."""

    labels: list[str]
    uncertain_label: str
    adjudicator: str
    resolution: str
    clips: int
    mine: int
    labelled: int
    by_label: dict[str, int]
    uncertain: int
    conflicts: int
    unannotated: int
    annotators: int
    alpha: float | None
    compared_clips: int
    pairs: list[PairAnswer]


class WithdrawnAnswer(BaseModel):
    """Whether there was a label to take back, and what stands now (an imported one may)."""

    withdrawn: bool
    mine: LabelAnswer | None


def label_answer(item: Annotation) -> LabelAnswer:
    return LabelAnswer(annotator=item.annotator, label=item.label, note=item.note)


def clip_item(
    info: ClipInfo, mine: Annotation | None, votes: dict[str, str], confidence: float | None
) -> ClipItem:
    return ClipItem(
        clip_id=info.clip_id,
        call_id=info.call_id,
        customer_id=info.customer_id,
        start_s=info.start_s,
        end_s=info.end_s,
        text=info.text,
        scene=info.scene,
        facts=dict(info.facts),
        mine=None if mine is None else label_answer(mine),
        votes=votes,
        confidence=confidence,
    )


def overview_answer(
    found: Resolution, clips: int, mine: int, config: AnnotationConfig
) -> OverviewAnswer:
    counts = Counter(found.labels.values())
    agreement = found.agreement
    pairs = sorted(agreement.pairs, key=lambda pair: -pair.clips)[:_MOST_PAIRS]
    return OverviewAnswer(
        labels=list(config.labels),
        uncertain_label=config.uncertain,
        adjudicator=config.adjudicator,
        resolution=config.resolution,
        clips=clips,
        mine=mine,
        labelled=len(found.labels),
        by_label={label: counts[label] for label in config.labels},
        uncertain=len(found.uncertain),
        conflicts=len(found.conflicts),
        unannotated=found.unannotated,
        annotators=len(agreement.annotators),
        alpha=agreement.alpha,
        compared_clips=agreement.clips,
        pairs=[
            PairAnswer(
                first=pair.first,
                second=pair.second,
                clips=pair.clips,
                same=pair.same,
                alpha=pair.alpha,
            )
            for pair in pairs
        ],
    )
