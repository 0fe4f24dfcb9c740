"""From feedback in the store to what a ranker learns from, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.conversation import Emotion, Relation, Scene, Script, Speaker, Tone
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.evaluation.release import ReleaseReport
from persona_ray.inference.assist.choice import choose
from persona_ray.inference.assist.journal import candidate_json, context_json
from persona_ray.inference.assist.library import make_library, write_library
from persona_ray.inference.assist.records import (
    Mood,
    Sentence,
    SpeechInformation,
    Suggestion,
)
from persona_ray.launch.assist.feedback_data import (
    judged_pushes,
    learned_turns,
    split_of_person,
)
from persona_ray.launch.assist.retrain import NotDue, Retrained, is_due, retrain
from persona_ray.launch.versions.registry import Registry
from persona_ray.progress import SilentProgress
from persona_ray.store import Store, open_store
from persona_ray.store.assist.records import NewPush, NewSuggestion, Said, Scored
from persona_ray.types import Split

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCRIPTS = {
    "fee-a": Script(id="fee-a", text="首年免费", answers=("年费多少",), topic="fee", max_uses=9),
    "fee-b": Script(id="fee-b", text="刷六次免", answers=("年费多少",), topic="fee", max_uses=9),
    "safe-a": Script(id="safe-a", text="加密保管", answers=("安全吗",), topic="safe", max_uses=9),
}
LIBRARY = make_library("test", "1", SCRIPTS.values())
SAID = {"fee-a": "年费多少钱啊", "safe-a": "这个安全吗"}


def configured(workspace: Path, *changes: str) -> RunConfig:
    write_library(LIBRARY, workspace / "scripts.yaml")
    return load_config(
        None,
        [
            f"workspace={workspace}",
            f"assist.library={workspace / 'scripts.yaml'}",
            "assist.ranker.meaning=false",
            "assist.ranker.width=8",
            "assist.ranker.hidden=8",
            "assist.ranker.epochs=3",
            "assist.ranker.dev=0.3",
            "assist.retraining.after_samples=20",
            "launch.cpus_per_worker=1",
            *changes,
        ],
    )


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return configured(tmp_path)


@pytest.fixture
def store(config: RunConfig) -> Iterator[Store]:
    with open_store(config.store_url) as opened:
        yield opened


def heard(text: str, valence: float) -> SpeechInformation:
    shares = {one: float(one is Emotion.NEUTRAL) for one in Emotion}
    return SpeechInformation(
        Sentence(Speaker.CUSTOMER, text, 0.0, 1.0, Tone()),
        Scene("card", "offer"),
        Relation.QUESTION,
        Mood(shares, shares, {}, valence),
    )


def log_call(config: RunConfig, store: Store, number: int) -> None:
    """Two sentences; what was written for them is taken."""
    call = store.assist_calls.open("a", f"c{number}", {}, {}, f"u{number}")
    made = []
    for turn, text in enumerate(SAID.values(), 1):
        information = heard(text, -0.5 + turn / 4)
        targets = dict.fromkeys(SCRIPTS, 0.0)
        chosen = choose(
            information, LIBRARY, targets, {}, (number * 0.37) % 1, config.assist.choice
        )
        assert isinstance(chosen, Suggestion)
        push = NewPush(
            push_id=f"p{number}-{turn}",
            channel="device",
            scripts=tuple(chosen.candidates[place].script.id for place in chosen.shown),
            expires_at=NOW,
        )
        made.append(
            NewSuggestion(
                turn=turn,
                at=NOW - timedelta(days=9) + timedelta(minutes=number),
                product="card",
                context=context_json(information),
                library=chosen.library,
                ranker="",
                candidates=[candidate_json(one) for one in chosen.candidates],
                shown=chosen.shown,
                chosen=chosen.first.script.id,
                push=push,
            )
        )
    store.assist_calls.settle(call, {}, 0, (), made, ended=True)
    for suggestion, fits in zip(made, SAID, strict=True):
        well = suggestion.chosen.partition("-")[0] == fits.partition("-")[0]
        assert suggestion.push is not None
        told = Said(action="used" if well else "dismissed")
        store.feedback.give(
            suggestion.push.push_id,
            told,
            lambda said, _: Scored(70 if said.action == "used" else 20, said.action == "used"),
            1e9,
            NOW - timedelta(days=8),
        )


def test_the_log_gives_back_what_was_done_and_what_came_of_it(
    config: RunConfig, store: Store
) -> None:
    log_call(config, store, 1)
    first, second = judged_pushes(config.assist, store, NOW)
    assert (first.person, second.person) == ("u1", "u1")
    assert sum(first.chances.values()) == pytest.approx(1)
    assert (dict(first.shown), dict(second.shown)) == ({}, {first.chosen: 1})
    # The mood of the second sentence; after it the call ended.
    assert first.mood_change == pytest.approx(0.25)
    assert second.mood_change is None
    assert {first.accepted, second.accepted} <= {0.0, 1.0}
    assert first.information.sentence.text == SAID["fee-a"]


def test_customers_held_out_and_forgotten_teach_nothing(config: RunConfig, store: Store) -> None:
    for number in range(12):
        log_call(config, store, number)
    samples = store.samples.all()
    people = {f"u{number}" for number in range(12)}
    held_out = {one for one in people if split_of_person(one, config.assist) is Split.TEST}
    learned = learned_turns(samples, config.assist)
    assert not learned[Split.TEST]
    known = {turn.customer for turns in learned.values() for turn in turns}
    assert held_out
    assert known == people - held_out
    gone = min(known)
    store.forget_customer(gone)
    learned = learned_turns(store.samples.all(), config.assist)
    assert {turn.customer for turns in learned.values() for turn in turns} == known - {gone}
    assert gone not in {push.person for push in judged_pushes(config.assist, store, NOW)}


def test_it_is_due_by_count_and_by_days(config: RunConfig, store: Store) -> None:
    assert is_due(config, store, NOW)[0] is False
    log_call(config, store, 0)
    # The first samples came eight days ago.
    assert is_due(config, store, NOW) == (True, "2 new samples, 8.0 days (retraining.after_days 7)")
    assert is_due(config, store, NOW - timedelta(days=3))[0] is False
    for number in range(1, 10):
        log_call(config, store, number)
    assert is_due(config, store, NOW - timedelta(days=3))[0] is True
    store.samples.begin("r", "", "", NOW)
    store.samples.end("r", "refused", NOW)
    assert is_due(config, store, NOW + timedelta(days=30)) == (False, "no new sample")


def test_what_cannot_be_is_said(config: RunConfig, store: Store) -> None:
    assert isinstance(retrain(config, SilentProgress(), if_due=True, now=NOW), NotDue)
    with pytest.raises(TrainingError, match="no feedback to learn from"):
        retrain(config, SilentProgress(), now=NOW)
    pinned = configured(config.workspace, "assist.ranker.bundle=/some/where")
    with pytest.raises(ConfigError, match="would not answer"):
        retrain(pinned, SilentProgress(), now=NOW)
    assert not store.samples.retrainings()


@pytest.mark.drill
def test_a_retraining_from_feedback_to_a_version(config: RunConfig, store: Store) -> None:
    for number in range(60):
        log_call(config, store, number)
    done = retrain(config, SilentProgress(), if_due=True, now=NOW)
    assert isinstance(done, Retrained)
    (kept,) = store.samples.retrainings()
    assert (kept.before, kept.made, kept.samples) == ("bm25", done.version, 120)
    assert ReleaseReport.model_validate(kept.judgement) == done.report
    assert store.samples.new() == 0
    version = Registry.open(config, config.assist.ranker.name).find("1")
    assert ("champion" in version.aliases) is done.report.released
    learned = set(Registry.open(config, config.assist.ranker.name).lineage(version).customers())
    assert all(split_of_person(one, config.assist) is not Split.TEST for one in learned)
    assert isinstance(retrain(config, SilentProgress(), if_due=True, now=NOW), NotDue)

    # One that was killed here is begun again; one that runs elsewhere is waited for.
    here = done.retraining_id.split("-")[1]
    store.samples.begin(f"x-{here}-1", "", "", NOW)
    assert isinstance(retrain(config, SilentProgress(), now=NOW), Retrained)
    assert "failed" in {one.state for one in store.samples.retrainings()}
    store.samples.begin("x-elsewhere-1", "", "", NOW)
    with pytest.raises(TrainingError, match="goes on elsewhere"):
        retrain(config, SilentProgress(), now=NOW)
    again = retrain(config, SilentProgress(), fresh=True, now=NOW)
    assert isinstance(again, Retrained)
    # The same data make the same bundle, which is one version.
    assert again.version == done.version
