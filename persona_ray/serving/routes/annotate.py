"""Annotation of clips: the queue, the sound, one label after the other, how far people agree.

An annotator is the name of a key: nobody labels, or looks at labels, under another's. A key with
the scope `admin` may name anyone, and so may everybody where no key is needed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Response

from persona_ray.errors import AnnotationError, CorpusError, RequestError
from persona_ray.serving.annotation_desk import AnnotationDesk, spread
from persona_ray.serving.annotation_schemas import (
    Annotator,
    ClipItem,
    LabelAnswer,
    LabelRequest,
    OverviewAnswer,
    QueueAnswer,
    WithdrawnAnswer,
    clip_item,
    label_answer,
    overview_answer,
)
from persona_ray.serving.clip_confidence import ClipConfidence
from persona_ray.serving.documents import errors
from persona_ray.serving.gate import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_ray.serving.application import Services
    from persona_ray.types import ClipInfo

# Clips of a larger corpus that the model is asked for, from all over it.
_POOL = 2000

ResultT = TypeVar("ResultT")
Asked = Annotated[
    Annotator | None, Query(description="another than the key's name: with the scope admin alone")
]
ClipId = Annotated[str, Path(max_length=64, description="of the corpus")]
Order = Literal["corpus", "uncertain", "conflicts", "done"]
_ERRORS = errors(
    *(401, 403, 422, 429, 503),
    said={404: "there is no such clip", 409: "there is no corpus yet"},
)


def annotate(services: Services) -> APIRouter:
    """/v1/annotation: overview, queue, clips."""
    admitted = Depends(services.gate.requires("annotate"))
    router = APIRouter(
        prefix="/v1/annotation",
        tags=["annotation"],
        responses=_ERRORS,
        dependencies=[admitted],
    )
    desk = AnnotationDesk(services.config, services.store)
    confidence = ClipConfidence(services.personality)

    @router.get("", summary="Where the work stands")
    async def overview(annotator: Asked = None, caller: Caller = admitted) -> OverviewAnswer:
        who = _who(caller, annotator)

        def work() -> OverviewAnswer:
            found = desk.resolution()
            mine = len(desk.done(who))
            return overview_answer(found, desk.clips(), mine, services.config.annotation)

        return await _in_thread(work)

    @router.get("/queue", summary="The next clips")
    async def queue(
        annotator: Asked = None,
        order: Annotated[Order, Query()] = "corpus",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        caller: Caller = admitted,
    ) -> QueueAnswer:
        """`corpus`: as they follow there; `uncertain`: those that the served model is least sure
        of first; `conflicts`: those to be resolved by the adjudicator; `done`: the annotator's own,
        the last first."""
        who = _who(caller, annotator)
        if order == "done":
            done = [info for info, _ in await _in_thread(lambda: desk.done(who))]
            return await _answer(done, who, limit)
        if order == "conflicts":
            return await _answer(await _in_thread(desk.conflicts), who, limit, votes=True)
        todo = await _in_thread(lambda: desk.todo(who))
        if order == "corpus":
            return await _answer(todo, who, limit)
        pool = spread(todo, _POOL)
        ids = [info.clip_id for info in pool]
        await confidence.ensure(ids, desk.inputs, await _in_thread(desk.fingerprint))
        ranked = confidence.least_certain(pool)
        answer = await _answer(ranked, who, limit)
        return answer.model_copy(
            update={
                "left": len(todo),
                "judged": confidence.known(ids),
                "pool": len(pool),
                "judging": confidence.running,
            }
        )

    async def _answer(
        infos: list[ClipInfo], annotator: str, limit: int, votes: bool = False
    ) -> QueueAnswer:
        def work() -> list[ClipItem]:
            said = {info.clip_id: item for info, item in desk.done(annotator)}
            return [
                clip_item(
                    info,
                    said.get(info.clip_id),
                    desk.votes(info.clip_id) if votes else {},
                    confidence.of(info.clip_id),
                )
                for info in infos[:limit]
            ]

        clips = await _in_thread(work)
        return QueueAnswer(clips=clips, left=len(infos), judged=0, pool=0, judging=False)

    @router.get(
        "/clips/{clip_id}/audio",
        summary="A clip's sound",
        response_class=Response,
        responses={200: {"content": {"audio/wav": {}}}},
    )
    async def audio(clip_id: ClipId) -> Response:
        sound = await _in_thread(lambda: desk.wav(clip_id), clip_id)
        # Of a customer: in the browser's memory, not on its disk.
        return Response(sound, media_type="audio/wav", headers={"cache-control": "no-store"})

    @router.put("/clips/{clip_id}/label", summary="Say what it is")
    async def label(clip_id: ClipId, asked: LabelRequest, caller: Caller = admitted) -> LabelAnswer:
        """The annotator's last word on a clip stands; others' words stay."""
        who = _who(caller, asked.annotator)

        def work() -> LabelAnswer:
            return label_answer(desk.label(clip_id, who, asked.label, asked.note.strip()))

        return await _in_thread(work, clip_id)

    @router.delete("/clips/{clip_id}/label", summary="Take it back")
    async def withdraw(
        clip_id: ClipId, annotator: Asked = None, caller: Caller = admitted
    ) -> WithdrawnAnswer:
        """A label that was imported for a span of the call stands."""
        who = _who(caller, annotator)

        def work() -> WithdrawnAnswer:
            withdrawn = desk.withdraw(clip_id, who)
            left = {info.clip_id: item for info, item in desk.done(who)}.get(clip_id)
            return WithdrawnAnswer(
                withdrawn=withdrawn, mine=None if left is None else label_answer(left)
            )

        return await _in_thread(work, clip_id)

    return router


def _who(caller: Caller, asked: str | None) -> str:
    """Whose labels they are. Raises RequestError for a name that is not the caller's to use."""
    who = asked or caller.name
    if not caller.allows("admin") and who != caller.name:
        raise RequestError(
            "annotation.annotator",
            f"this key labels as '{caller.name}', not as '{who}'",
            status=403,
            field="annotator",
            fix="leave annotator out: only a key with the scope admin names others",
        )
    if not who:
        raise RequestError(
            "request.invalid",
            "no key says who labels",
            field="annotator",
            fix="name the annotator",
        )
    return who


async def _in_thread(work: Callable[[], ResultT], clip_id: str = "") -> ResultT:
    """The corpus and the store are files. Raises RequestError for what the client can mend."""
    try:
        return await asyncio.to_thread(work)
    except KeyError:
        raise RequestError(
            "annotation.unknown_clip",
            "the corpus has no such clip",
            status=404,
            field="clip_id",
            fix="ask for the queue again: the corpus may have been built anew",
        ) from None
    except AnnotationError as error:
        if clip_id:
            raise RequestError(
                "annotation.label", str(error), field="label", fix="choose a configured label"
            ) from None
        raise RequestError(
            "annotation.store", str(error), status=409, fix="mend annotation.labels"
        ) from None
    except CorpusError as error:
        raise RequestError(
            "annotation.no_corpus",
            str(error),
            status=409,
            fix="build one: `persona-ray corpus build`",
        ) from None
