"""Scripts over REST: versions, files, use and success, gaps; for operators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.inference.assist.gaps import group
from persona_ray.inference.assist.library import parse_library
from persona_ray.serving.application import build_app
from persona_ray.serving.assist.library_schemas import wilson
from persona_ray.serving.routes.assist_feedback import assist_feedback
from persona_ray.serving.routes.assist_library import assist_library
from persona_ray.store import Store
from persona_ray.store.assist.records import NewSuggestion
from tests.unit.serving.assist.parts import Fakes, services_of
from tests.unit.serving.assist.pushed import begin, push

LIBRARY, SCRIPTS, GAPS = "/v1/assist/library", "/v1/assist/scripts", "/v1/assist/gaps"
FILE = """\
name: shop
version: "{version}"
scripts:
  - {{id: s1, text: 首年年费是免的。, answers: [年费多少], product: credit_card, topic: fee}}
  - {{id: {second}, text: 您好，我是您的客户经理。, answers: [你是谁]}}
"""


@pytest.fixture
def client(assist: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    routers = [assist_library, assist_feedback]
    with TestClient(build_app(services_of(assist, store, fake), routers)) as opened:
        yield opened


@pytest.fixture
def owner(store: Store) -> dict[str, str]:
    return {"authorization": f"Bearer {store.keys.create('chen', ['operator']).token}"}


def test_a_library_goes_in_is_looked_at_and_gone_back_to(
    client: TestClient, owner: dict[str, str]
) -> None:
    assert client.get(LIBRARY, headers=owner).json()["origin"] == "shipped"
    put = f"{LIBRARY}/import"
    first = FILE.format(version=1, second="s2")
    second = FILE.format(version=2, second="s3").replace("首年", "前两年")
    assert client.post(put, content=first.encode(), headers=owner).json()["imported"]
    asked = {"preview": True}
    would = client.post(put, params=asked, content=second.encode(), headers=owner).json()
    assert (would["added"], would["changed"], would["removed"]) == (["s3"], ["s1"], ["s2"])
    assert client.get(LIBRARY, headers=owner).json()["version"] == "1"
    client.post(put, content=second.encode(), headers=owner)
    now = client.get(LIBRARY, headers=owner).json()
    assert (now["version"], now["origin"]) == ("2", "store")
    assert [(one["version"], one["made_by"]) for one in now["versions"]] == [
        ("2", "chen"),
        ("1", "chen"),
        # What was shipped: one can go back to it, too.
        ("1", "persona-ray"),
    ]
    file = client.get(f"{LIBRARY}/file", params={"form": "csv"}, headers=owner)
    assert file.headers["content-type"].startswith("text/csv")
    again = {"form": "csv", "name": "shop-3"}
    assert client.post(put, params=again, content=file.content, headers=owner).json() == {
        **{"name": "shop", "version": "3", "imported": True, "mistakes": []},
        **{"added": [], "changed": [], "removed": []},
    }
    back = client.post(f"{LIBRARY}/use", json={"name": "shop", "version": "1"}, headers=owner)
    assert back.json()["version"] == "1"
    old = client.get(f"{LIBRARY}/file", params={"name": "shop", "version": "1"}, headers=owner)
    assert set(parse_library(old.content, "a.yaml", ()).scripts) == {"s1", "s2"}


def test_mistakes_are_told_with_their_place(
    client: TestClient, owner: dict[str, str], key: dict[str, str]
) -> None:
    wrong = FILE.format(version=1, second="s1").replace("[你是谁]", "[]")
    answer = client.post(f"{LIBRARY}/import", content=wrong.encode(), headers=owner)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, "assist.library", "body")
    assert "library-1.yaml:5: answers" in error["message"]
    for content, places in (
        (wrong.replace("[年费多少]", "[]"), ["library-1.yaml:4:", "library-1.yaml:5:"]),
        ("\0", ["library-1.yaml:"]),
    ):
        path = f"{LIBRARY}/import?preview=true"
        would = client.post(path, content=content.encode(), headers=owner).json()
        assert [one.partition(" ")[0] for one in would["mistakes"]] == places
        assert not would["imported"]
    huge = client.post(f"{LIBRARY}/import", content=b"-" * 2_000_001, headers=owner)
    assert (huge.status_code, huge.json()["error"]["code"]) == (413, "request.too_large")
    unknown = client.post(f"{LIBRARY}/use", json={"name": "shop", "version": "9"}, headers=owner)
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (404, "version")
    for path in (LIBRARY, SCRIPTS, GAPS, f"{LIBRARY}/file"):
        assert client.get(path, headers=key).status_code == 403


def test_use_and_success_of_scripts(
    client: TestClient, store: Store, owner: dict[str, str], key: dict[str, str]
) -> None:
    file = FILE.format(version=1, second="s9")
    client.post(f"{LIBRARY}/import", content=file.encode(), headers=owner)
    call = begin(store)
    pushes = [push(store, call) for _ in range(5)]
    # The large one is s1; two say s2, which the library no longer has; of the last nothing is said.
    said = [("used", ""), ("dismissed", ""), ("used", "s2"), ("edited", "s2")]
    for push_id, (action, script) in zip(pushes, said, strict=False):
        path = f"/v1/assist/pushes/{push_id}/feedback"
        client.post(path, json={"action": action, "script_id": script}, headers=key)
    rows = {one["script_id"]: one for one in client.get(SCRIPTS, headers=owner).json()["scripts"]}
    s1, s2, s9 = rows["s1"], rows["s2"], rows["s9"]
    assert (s1["chosen"], s1["seen"], s1["used"], s1["dismissed"]) == (5, 4, 1, 1)
    assert (s1["success"], s1["mean_score"], s1["topic"]) == (0.5, 45.0, "fee")
    assert (s2["used"], s2["edited"], s2["success"], s2["in_library"]) == (1, 1, 1.0, False)
    assert (s9["chosen"], s9["success"], s9["mean_score"], s9["in_library"]) == (
        0,
        None,
        None,
        True,
    )


def test_gaps_are_what_customers_said_and_go_with_them(
    client: TestClient, store: Store, owner: dict[str, str]
) -> None:
    call = begin(store)
    said = ["外币怎么还款", "外币怎么还款呀", "你们几点下班", "外币怎么还款"]
    nothing = [
        NewSuggestion(
            turn=turn,
            at=datetime.now(UTC),
            product="credit_card",
            reason=("nothing_fits", "no_script", "", "late")[turn - 1],
            library="shop 1",
            ranker="bm25",
            context={"sentence": {"text": text}},
            candidates=({"script_id": "s1", "parts": {"target": -0.5}},),
            shown=(),
            chosen="",
            explored=False,
        )
        for turn, text in enumerate(said, 1)
    ]
    store.assist_calls.settle(call, {}, 0, [], nothing)
    found = client.get(GAPS, headers=owner).json()
    assert found["looked_at"] == 4
    assert [(gap["count"], gap["product"]) for gap in found["gaps"]] == [
        (2, "credit_card"),
        (1, "credit_card"),
    ]
    assert found["gaps"][0]["examples"] == ["外币怎么还款", "外币怎么还款呀"]
    assert client.get(GAPS, params={"product": "loan"}, headers=owner).json()["gaps"] == []
    store.forget_customer("c1")
    assert client.get(GAPS, headers=owner).json()["looked_at"] == 0


def test_likeness_of_sentences() -> None:
    gaps = group(["能不能分期", "能不能分期呢", "能不能再分期", "", "！", "天气不错", "天气不错"])
    assert [gap.count for gap in gaps] == [3, 2]
    assert group([]) == []


@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    # Of statsmodels.stats.proportion.proportion_confint(method="wilson").
    [(0, 1, (0.0, 0.793)), (5, 10, (0.237, 0.763)), (90, 100, (0.826, 0.945))],
)
def test_intervals_of_shares(successes: int, trials: int, interval: tuple[float, float]) -> None:
    assert wilson(successes, trials) == interval
