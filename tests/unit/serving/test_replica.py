"""A replica's bundle: swapped, refused, and asked by batches that one clip cannot spoil."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from persona_ray.config import RunConfig, load_config
from persona_ray.config.serving import ScaleConfig
from persona_ray.errors import BundleError
from persona_ray.inference.clips import ClipInput
from persona_ray.inference.judge import Judge
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.models.manifest import digest
from persona_ray.serving.deploy.replica import ModelReplica, padded_ms, raised, use_threads
from persona_ray.serving.deploy.stages import BundleChoice
from persona_ray.types import Recognition
from tests.unit.inference.test_personality import clips
from tests.unit.models.test_bimodal import RATE_HZ, small_model

pytestmark = pytest.mark.anyio

CONFIG = load_config(None, ["serving.batch.max_s=3"])


def found(_config: RunConfig, choice: BundleChoice) -> Path:
    return Path(choice.folder)


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> list[BundleChoice]:
    folder = tmp_path_factory.mktemp("bundles")
    made = []
    for seed in (0, 1):
        path, model = folder / str(seed), small_model(seed=seed)
        save_bundle(model, path, contract_of(model, "", {}, {}))
        made.append(BundleChoice(str(path), "persona", str(seed), digest(path), str(path)))
    return made


@pytest.fixture
async def replica(choices: list[BundleChoice]) -> ModelReplica:
    made = ModelReplica(CONFIG, ScaleConfig(), found)
    await made.reconfigure(choices[0].to_dict())
    return made


async def test_a_swap_changes_who_answers_and_not_what_was_begun(
    replica: ModelReplica, choices: list[BundleChoice]
) -> None:
    before = replica.loaded
    begun = replica.items(clips(), before, audio=True)
    await replica.reconfigure(choices[1].to_dict())
    assert (await replica.model()).version == "1"
    mixed = begun + replica.items(clips(), replica.loaded, audio=True)
    answers = raised(await replica.by_bundle(mixed, lambda judge, some: judge.judge(some)))
    half = len(begun)
    for part, loaded in ((answers[:half], before), (answers[half:], replica.loaded)):
        for answer, expected in zip(part, loaded.judge.judge(clips()), strict=True):
            assert isinstance(answer, Recognition)
            assert isinstance(expected, Recognition)
            assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    assert answers[:half] != answers[half:]


async def test_a_bundle_that_cannot_be_loaded_is_refused(
    replica: ModelReplica, choices: list[BundleChoice], tmp_path: Path
) -> None:
    broken = BundleChoice("gone", "persona", "9", "", str(tmp_path / "gone"))
    await replica.reconfigure(broken.to_dict())
    assert (await replica.model()).version == "0"
    await replica.reconfigure(choices[1].to_dict())
    assert (await replica.model()).version == "1"
    with pytest.raises(BundleError, match="gone"):
        await ModelReplica(CONFIG, ScaleConfig(), found).reconfigure(broken.to_dict())


async def test_the_old_bundle_answers_while_the_new_one_is_loaded(
    replica: ModelReplica, choices: list[BundleChoice], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def slow(config: RunConfig, choice: BundleChoice) -> Path:
        import time

        time.sleep(0.3)
        return found(config, choice)

    monkeypatch.setattr(replica, "_find", slow)
    swap = asyncio.create_task(replica.reconfigure(choices[1].to_dict()))
    while not swap.done():
        seen.append((await replica.model()).version)
        await asyncio.sleep(0.01)
    assert seen[:10] == ["0"] * 10
    assert (await replica.model()).version == "1"


async def test_one_clip_that_fails_leaves_its_neighbours_their_answers(
    replica: ModelReplica,
) -> None:
    some = clips()[:4]

    def work(judge: Judge, asked: list[ClipInput]) -> Sequence[object]:
        if any(clip is some[2] for clip in asked):
            raise RuntimeError("poisoned")
        return judge.judge(asked)

    answers = await replica.by_bundle(replica.items(some, replica.loaded, audio=True), work)
    assert [isinstance(answer, Recognition) for answer in answers] == [True, True, False, True]
    with pytest.raises(RuntimeError, match="poisoned"):
        raised(answers)


async def test_batches_are_bounded_by_padded_audio(replica: ModelReplica) -> None:
    items = replica.items(clips(), replica.loaded, audio=True)
    longest = max(item.milliseconds for item in items)
    assert padded_ms(items) == longest * len(items)
    # What is beyond the longest clip is not heard, and weighs nothing.
    endless = ClipInput(clips()[0].samples, RATE_HZ // 1000, "你好")
    (item,) = replica.items([endless], replica.loaded, audio=True)
    assert item.milliseconds == 2000
    assert replica.batch_ms(replica.loaded) == 3000


def test_threads_are_those_of_every_library_that_computes() -> None:
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2, user_api="blas"):
            use_threads(1)
            pools = threadpool_info()
            assert {one["num_threads"] for one in pools if one["user_api"] == "blas"} == {1}
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(torch_threads)
