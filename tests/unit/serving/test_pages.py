"""The pages as files: whole, kept by browsers as they should be, closed to foreign scripts."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.conversation import Action, Emotion, Rating, Relation
from persona_ray.conversation import Outcome as CallOutcome
from persona_ray.inference.screening.records import Origin, Outcome, Standing
from persona_ray.inference.screening.steps import Choice
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.pages.files import page_files
from persona_ray.serving.routes.assist_pages import assist_pages
from persona_ray.serving.routes.pages import pages
from persona_ray.serving.routes.screening_pages import screening_pages
from persona_ray.store import Store
from persona_ray.store.screening.records import Action as SetAction
from tests.unit.serving.fakes import FakeService

PATHS = ("/", "/annotate", "/models")
SCREENING_PATHS = ("/inbox", "/libraries", "/reports")
ASSIST_PATHS = ("/assist", "/scripts")


@pytest.fixture
def client(store: Store, service: FakeService, config: RunConfig) -> TestClient:
    return TestClient(build_app(Services(config, service, store), [pages]))


@pytest.fixture
def screening_client(store: Store, service: FakeService, config: RunConfig) -> TestClient:
    return TestClient(build_app(Services(config, service, store), [screening_pages]))


@pytest.fixture
def assist_client(store: Store, service: FakeService, config: RunConfig) -> TestClient:
    return TestClient(build_app(Services(config, service, store), [assist_pages]))


@pytest.mark.parametrize("path", [*PATHS, *SCREENING_PATHS, *ASSIST_PATHS])
def test_a_page_names_only_what_is_there(
    client: TestClient, screening_client: TestClient, assist_client: TestClient, path: str
) -> None:
    """Its menu leads to pages of the same application."""
    client = screening_client if path in SCREENING_PATHS else client
    client = assist_client if path in ASSIST_PATHS else client
    page = client.get(path)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert any(address.endswith(".js") for address in named)
    for address in named:
        assert address.startswith("/"), "nothing from elsewhere"
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_asked_for_anew_and_costs_nothing_where_it_is_the_same(
    client: TestClient, path: str
) -> None:
    page = client.get(path)
    assert page.headers["cache-control"] == "no-cache"
    same = client.get(path, headers={"if-none-match": f'"x", W/{page.headers["etag"]}'})
    assert (same.status_code, same.content) == (304, b"")
    assert client.get(path, headers={"if-none-match": '"x"'}).status_code == 200


def test_nothing_foreign_runs(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "<style" not in page.text
    assert "style=" not in page.text
    assert not re.findall(r"<script(?![^>]* src=)", page.text)
    assert not re.findall(r'\son\w+="', page.text)


def test_assets_are_kept_for_ever_under_an_address_that_changes_with_them(
    client: TestClient,
) -> None:
    digest = page_files().digest
    kept = client.get(f"/assets/{digest}/js/recognise.js")
    assert kept.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in kept.headers["cache-control"]
    other = client.get("/assets/0123456789abcdef/js/recognise.js")
    assert other.headers["cache-control"] == "no-store"
    for name in ("js/none.js", "../templates/shell.html.j2", "%2e%2e/__init__.py"):
        assert client.get(f"/assets/{digest}/{name}").status_code == 404


def test_modules_import_only_each_other() -> None:
    assets = page_files().assets
    for name, asset in assets.items():
        text = asset.body.decode()
        for module in re.findall(r'from "([^"]+)"', text):
            assert module.startswith("./")
            assert f"js/{module[2:]}" in assets, (name, module)
        assert "innerHTML" not in text
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text.replace("on https:// and", "").replace("在 https:// 或", "")


def words(language: str) -> str:
    """All words of a language, as the pages have them."""
    names = [f"js/words-{language}{one}.js" for one in ("", "-screening", "-assist", "-scripts")]
    return "".join(page_files().assets[name].body.decode() for name in names)


def test_the_words_of_two_applications_do_not_meet() -> None:
    """One would take the place of the other's."""
    for language in ("en", "zh"):
        keys = re.findall(r'^  "?([\w.\- /]+?)"?: "', words(language), re.MULTILINE)
        assert len(keys) == len(set(keys))


def test_every_category_and_outcome_has_a_name(config: RunConfig) -> None:
    known = set(re.findall(r'^  "([\w.]+)": "', words("en"), re.MULTILINE))
    assert {f"category.{name}" for name in config.screening.policy.categories} <= known
    assert {f"outcome.{one}" for one in Outcome} <= known
    assert {f"origin.{one}" for one in Origin} <= known
    assert {f"standing.{one}" for one in Standing} <= known
    assert {f"answer.{one}" for one in Choice} <= known
    assert {f"done.{one}" for one in SetAction} <= known


def test_what_assistance_tells_has_a_name(config: RunConfig) -> None:
    known = set(re.findall(r'^  "([\w.]+)": "', words("en"), re.MULTILINE))
    assert {f"emotion.{one}" for one in Emotion} <= known
    assert {f"relation.{one}" for one in Relation} <= known
    assert {f"rating.{one}" for one in Rating} <= known
    assert {f"push.state.{one}" for one in Action} <= known
    assert {f"came.{one}" for one in CallOutcome} <= known
    assert {f"step.{one}" for one in config.assist.steps} <= known


def test_both_languages_have_the_same_words() -> None:
    """Chinese has translations of the service's errors besides."""
    keys = {}
    for language in ("en", "zh"):
        text = words(language)
        found = re.findall(r'^  (?:"([^"]+)"|(\w+)): "(.*)",$', text, flags=re.MULTILINE)
        keys[language] = {
            quoted or plain: set(re.findall(r"\{(\w+)\}", value)) for quoted, plain, value in found
        }
    assert len(keys["en"]) > 150
    missing = keys["en"].keys() - keys["zh"].keys()
    assert missing == set()
    extra = keys["zh"].keys() - keys["en"].keys()
    assert {key.partition(".")[0] for key in extra} <= {"error", "figure"}
    for key, blanks in keys["en"].items():
        assert keys["zh"][key] == blanks, key


def test_words_that_are_asked_for_are_there() -> None:
    files = page_files()
    known = set(re.findall(r'^  "?([\w.\- /]+?)"?: "', words("en"), re.MULTILINE))
    asked: set[str] = set()
    for asset in files.assets.values():
        asked |= set(re.findall(r'\bword\("([\w.]+)"', asset.body.decode()))
    for page in files.pages.values():
        asked |= set(re.findall(r'data-word(?:-label)?="([^"]+)"', page.body.decode()))
    assert len(asked) > 80
    assert asked - known == set()


def test_a_page_learns_what_it_may_before_and_after_it_has_a_key(
    client: TestClient, store: Store
) -> None:
    known = client.get("/v1/pages/settings").json()
    assert known["keys_required"] is True
    assert known["labels"] == ["red", "blue", "yellow", "green"]
    token = store.keys.create("desk", ["live"]).token
    header = {"authorization": f"Bearer {token}"}
    answer = client.get("/v1/pages/access", params={"scope": "live"}, headers=header)
    assert answer.json() == {"name": "desk", "scopes": ["live"]}
    refused = client.get("/v1/pages/access", params={"scope": "models"}, headers=header)
    assert refused.json()["error"]["code"] == "key.scope"
    assert client.get("/v1/pages/access", params={"scope": "live"}).status_code == 401
