"""`persona-ray demo assist`: stereo calls through the real service, and what their agent saw."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.apps.assist_demo_calls import Arrived, PlayedCall, Player, Shows, fitting
from persona_ray.apps.assist_here import assist_here
from persona_ray.apps.demo_folder import MARK, begin_anew
from persona_ray.config import load_config
from persona_ray.conversation import Emotion, Speaker
from persona_ray.errors import ServiceError
from persona_ray.evaluation.report.assisted import (
    AssistedPage,
    ShownCall,
    ShownPush,
    ShownTurn,
    write_assisted,
)
from persona_ray.files import write_whole
from persona_ray.inference.assist.reasons import in_words
from persona_ray.serving.assist.protocol import CallEnded, NotPushed, Pushed, TurnHeard
from persona_ray.synth.assist.calls import read_calls

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.progress import Progress

PAGE = "report.html"
AGENT = "demo"
_CONVERSATIONS = "conversations.jsonl.gz"
_COUNT, _SEED = 300, 7
# Training is to be over in a minute or so.
_SETTINGS = ("launch.backend=plain", "tracking.url=off", "assist.ranker.epochs=8")
# Of a call's sentences, moods and pushes: calls are few and short.
_HEARD, _FOUND, _FITTING = 0.7, 0.4, 0.5


@dataclass(frozen=True, slots=True)
class DemoResult:
    """`page` is also a file, `path`."""

    page: AssistedPage
    path: Path


def run_demo(
    out: Path,
    calls: Path,
    overrides: Sequence[str],
    progress: Progress,
    shows: Shows,
    say: Callable[[str], None],
) -> DemoResult:
    """Make what is missing in the folder `out`, play the calls of the folder `calls`, write the
    page. `shows` is told of all that happens, `say` where the live page is.

    Raises ConfigError where `out` holds something else, and what training and the service raise.
    """
    script = read_calls(calls)
    config = load_config(None, [*_SETTINGS, *overrides, f"workspace={out}"])
    begun = time.monotonic()
    begin_anew(config.workspace)
    _train_once(config, progress)
    key = _key(config)
    with progress.stage("loading models", 1) as loading, assist_here(config) as address:
        loading.advance()
        say(f"the agent's page, live: {address}/assist#key={key}")
        player = Player(address, key, calls, shows)
        played = [asyncio.run(player.play(call)) for call in script.calls]
    page = AssistedPage(
        [_shown(call) for call in played],
        f"{config.assist.emotion.name}, {config.assist.ranker.name}, {config.asr.engine}",
        time.monotonic() - begun,
    )
    body = json.dumps(asdict(page), ensure_ascii=False, indent=1)
    write_whole(config.workspace / "report.json", body)
    return DemoResult(page, write_assisted(page, config.workspace / PAGE))


def check(result: DemoResult) -> None:
    """Raises ServiceError where a call went otherwise than expected."""
    wrong = [
        f"{call.call_id} ({'; '.join(call.wrong)})" for call in result.page.calls if call.wrong
    ]
    if wrong:
        raise ServiceError(f"expected otherwise: {', '.join(wrong)}; {result.path} shows the calls")


def _train_once(config: RunConfig, progress: Progress) -> None:
    """Conversations, the emotion model and the ranker, unless those of these settings are there."""
    from persona_ray.inference.assist.library import load_library
    from persona_ray.launch.assist import emotion, ranker
    from persona_ray.synth.assist.composing import compose
    from persona_ray.synth.assist.world import World
    from persona_ray.synth.assist.writing import write_planted
    from persona_ray.synth.dialogues.scenes import Part

    out, assist = config.workspace, config.assist
    conversations = out / _CONVERSATIONS
    library = load_library(assist.library, assist.steps)
    world = World(library.scripts, Part.ALL)
    write_planted(compose(world, _COUNT, _SEED, Part.ALL.value), conversations)
    settings = assist.emotion.model_dump_json() + assist.ranker.model_dump_json() + library.digest
    made_of = hashlib.sha256(conversations.read_bytes() + settings.encode()).hexdigest()
    bundles = (out / emotion.FOLDER / emotion.BUNDLE, out / ranker.FOLDER / ranker.BUNDLE)
    kept = json.loads((out / MARK).read_text("utf-8")).get("models")
    if kept == made_of and all(bundle.is_dir() for bundle in bundles):
        return
    if not assist.emotion.bundle:
        learning = emotion.with_conversations(config, [conversations])
        emotion.train_emotion(learning, progress, words=False)
    if not assist.ranker.bundle:
        learning = ranker.with_conversations(config, [conversations])
        with progress.stage(ranker.STAGE, assist.ranker.epochs) as stage:
            samples = ranker.read_samples(learning)
            learned = ranker.learn(learning, samples, library, lambda _: stage.advance())
        ranker.write(learning, learned, samples, library, bundles[1])
    write_whole(out / MARK, json.dumps({"models": made_of}))


def _key(config: RunConfig) -> str:
    from persona_ray.store import open_store

    with open_store(config.store_url) as store:
        return store.keys.create(AGENT, ("assist",), requests_per_minute=6000).token


def _shown(played: PlayedCall) -> ShownCall:
    turns = [_turn(played, turn) for turn in played.turns]
    ended = next((one.event for one in played.arrived if isinstance(one.event, CallEnded)), None)
    script = played.script
    return ShownCall(
        call_id=script.id,
        about=script.about,
        product=script.product,
        duration_s=0.0 if ended is None else ended.duration_s,
        turns=turns,
        wrong=[*_wrong(played, turns), *([] if ended else ["that its end is told"])],
    )


def _turn(played: PlayedCall, turn: TurnHeard) -> ShownTurn:
    if turn.speaker is Speaker.AGENT or turn.emotion is None:
        return ShownTurn(turn.speaker.value, turn.start_s, [(turn.text, "")])
    truth = played.truth_of(turn)
    push = next((one for one in played.arrived if _answers(one, turn)), None)
    without = [
        one.event.reason
        for one in played.arrived
        if isinstance(one.event, NotPushed) and one.event.turn_seq == turn.seq
    ]
    return ShownTurn(
        speaker=turn.speaker.value,
        start_s=turn.start_s,
        pieces=list(_pieces(turn)),
        emotion=turn.emotion.value,
        valence=turn.valence or 0.0,
        relation=turn.relation.value if turn.relation else "",
        planted=truth.emotion if truth else "",
        push=None if push is None else _push(played, push, turn),
        without=without[0] if without else "",
    )


def _answers(one: Arrived, turn: TurnHeard) -> bool:
    return isinstance(one.event, Pushed) and one.event.turn_seq == turn.seq


def _push(played: PlayedCall, arrived: Arrived, turn: TurnHeard) -> ShownPush:
    assert isinstance(arrived.event, Pushed)
    event = arrived.event
    return ShownPush(
        scripts=[script.text for script in event.scripts],
        because=in_words(event.because, "en"),
        after_s=arrived.after_s,
        stages_s=stages(arrived),
        fits=fitting(event, played.truth_of(turn)),
        did=played.did.get(event.push_id, ""),
    )


def stages(arrived: Arrived) -> dict[str, float]:
    """Each stage's part of the seconds until a push stood on the device; `device`: the rest."""
    assert isinstance(arrived.event, Pushed)
    known = {name: took for name, took in arrived.event.timings_s.items() if name != "sent"}
    return {**known, "device": max(0.0, arrived.after_s - sum(known.values()))}


def _pieces(turn: TurnHeard) -> Iterator[tuple[str, str]]:
    """The text, cut where words carry a mood."""
    at = 0
    for word in sorted(turn.keywords, key=lambda one: one.start):
        if word.start < at or word.emotion is Emotion.NEUTRAL:
            continue
        if word.start > at:
            yield turn.text[at : word.start], ""
        yield turn.text[word.start : word.end], word.emotion.value
        at = word.end
    if at < len(turn.text):
        yield turn.text[at:], ""


def _wrong(played: PlayedCall, turns: Sequence[ShownTurn]) -> Iterator[str]:
    """What is expected of every call and did not hold."""
    planted = sum(one.speaker is Speaker.CUSTOMER for one in played.planted)
    theirs = [turn for turn in played.turns if turn.speaker is Speaker.CUSTOMER]
    heard = len({truth.start_s for turn in theirs if (truth := played.truth_of(turn))})
    if heard < _HEARD * planted:
        yield f"{planted} sentences of the customer, not {heard}"
    known = [turn for turn in turns if turn.planted]
    found = sum(turn.emotion == turn.planted for turn in known)
    if found < _FOUND * len(known):
        yield f"more moods as planted than {found} of {len(known)}"
    judged = [turn.push for turn in turns if turn.push and turn.push.fits is not None]
    fit = sum(bool(push.fits) for push in judged)
    if not judged or fit < _FITTING * len(judged):
        yield f"more scripts that suit than after {fit} of {len(judged)} sentences"
    if played.refused:
        yield f"that the agent's word is taken, not '{played.refused[0]}'"
