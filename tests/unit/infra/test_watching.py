"""Dashboards and rules ask for figures that exist, hold together, and fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from persona_ray.serving.service import HEARING, JUDGING
from persona_ray.watch.catalogue import ALL
from tests.unit.infra.dashboards import Dashboard, read_dashboard
from tests.unit.infra.promql import names_in, unknown

FOLDER = Path(__file__).resolve().parents[3] / "infra" / "watching"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
RULES = (FOLDER / "rules" / "recording.yaml", FOLDER / "rules" / "alerts.yaml")
CASES = (FOLDER / "rules" / "tests.yaml", FOLDER / "rules" / "tests-days.yaml")


def groups() -> list[dict[str, Any]]:
    return [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]


def rules(kind: str) -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"] if kind in rule]


RECORDED = frozenset(rule["record"] for rule in rules("record"))


def promtool(*arguments: str, folder: Path = FOLDER) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_holds_together_and_asks_for_what_is_told(path: Path) -> None:
    found = read_dashboard(path)
    assert found.uid == f"persona-{path.stem}"
    wrong = {one for expression in found.expressions for one in unknown(expression, RECORDED)}
    assert wrong == set()


def test_stages_that_dashboards_name_are_those_of_answers() -> None:
    asked = "".join(one for path in DASHBOARDS for one in read_dashboard(path).expressions)
    named = set(re.findall(r'stage_seconds[^{]*\{stage="([^"]*)"', asked))
    assert named == {HEARING, JUDGING}


def test_rules_ask_for_what_is_told_and_every_figure_is_looked_at() -> None:
    asked = [rule["expr"] for rule in (*rules("record"), *rules("alert"))]
    assert {one for expression in asked for one in unknown(expression, RECORDED)} == set()
    asked += [one for path in DASHBOARDS for one in read_dashboard(path).expressions]
    seen = {name for expression in asked for name in names_in(expression)}
    drifts = {one.name for one in ALL if one.name.endswith("_drift")}
    unseen = {one.name for one in ALL if not seen & set(one.series)} - drifts
    assert unseen == set()


def test_every_alert_names_the_next_step_and_is_tested() -> None:
    page = (FOLDER.parents[1] / "docs" / "watching.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (\w+)$", page, re.MULTILINE)
    cases = "".join(file.read_text() for file in CASES)
    for rule in rules("alert"):
        name, told = rule["alert"], rule["annotations"]
        assert set(told) == {"summary", "description", "runbook_url"}, name
        assert told["runbook_url"] == f"docs/watching.md#{name.lower()}"
        assert name in headings
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f'alertname="{name}"' in cases, f"{name} has no test in {CASES[0].name}"


def test_promtool_takes_the_rules_and_its_cases_hold(tmp_path: Path) -> None:
    assert promtool("check", "rules", *map(str, RULES)) == ""
    assert promtool("test", "rules", *map(str, CASES)) == ""
    shutil.copytree(FOLDER, tmp_path / "watching")
    # The key is its reader's own.
    (tmp_path / "watching" / "metrics.key").write_text("pr_x")
    assert promtool("check", "config", "prometheus.yaml", folder=tmp_path / "watching") == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('event="rolled_back"', 'event="rolledback"'),
        ("{{ $labels.stage }}", "{{ $label.stage }}"),
        ("annotations:", "anotations:"),
    ],
)
def test_a_slip_in_a_rule_is_found(tmp_path: Path, old: str, new: str) -> None:
    shutil.copytree(FOLDER / "rules", tmp_path / "rules")
    alerts = tmp_path / "rules" / "alerts.yaml"
    text = alerts.read_text()
    assert old in text
    cases = yaml.safe_load(CASES[0].read_text())
    cases["tests"] = [one for one in cases["tests"] if "PersonaRolledBack" in str(one)]
    (tmp_path / "rules" / "tests.yaml").write_text(yaml.safe_dump(cases))
    assert promtool("test", "rules", "tests.yaml", folder=tmp_path / "rules") == ""
    alerts.write_text(text.replace(old, new))
    said = promtool("check", "rules", "alerts.yaml", folder=tmp_path / "rules")
    assert said or promtool("test", "rules", "tests.yaml", folder=tmp_path / "rules")


@pytest.mark.parametrize(
    "expression",
    [
        "persona_request_total",
        "sum(rate(persona_requests_total{rout='x'}[5m]))",
        "prsona_live_calls",
        "max by (kind) (persona:drifts)",
        'label_replace({__name__=~"persona_(level)_drift"}, "kind", "$1", "__name__", "(.*)")',
    ],
)
def test_a_slip_in_an_expression_is_found(expression: str) -> None:
    assert unknown(expression, RECORDED)


def test_expressions_are_taken_apart_rightly() -> None:
    expression = (
        'histogram_quantile(0.95, sum by (le, route) (rate(a_b_bucket{x="sum(y)"}[5m]))) / on () '
        "group_left () c:d:e and on (stage) time() - max by (stage) (f) > 1e3 or 0 * g offset 5m"
    )
    assert names_in(expression) - {"m"} == {"a_b_bucket", "c:d:e", "f", "g"}


def broken(change: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))
    tree["panels"][0] |= change
    return tree


@pytest.mark.parametrize(
    "change",
    [
        {"titel": "x"},
        {"id": 2},
        {"type": "graph"},
        {"gridPos": {"x": 20, "y": 0, "w": 6, "h": 4}},
        {"gridPos": {"x": 0, "y": 1, "w": 12, "h": 4}},
        {"datasource": {"type": "prometheus", "uid": "mine"}},
        {"targets": []},
    ],
    ids=str,
)
def test_a_slip_in_a_dashboard_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Dashboard.model_validate(broken(change))


def test_the_operators_rules_are_the_same(tmp_path: Path) -> None:
    """Made by prometheusrule.sh; kustomize takes them and every dashboard."""
    text = (FOLDER / "prometheusrule.yaml").read_text()
    assert yaml.safe_load(text)["spec"]["groups"] == groups()
    made = subprocess.run(
        ["sh", FOLDER / "prometheusrule.sh"], capture_output=True, text=True, check=True
    )
    assert made.stdout == text
    component = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    named = component["configMapGenerator"][0]["files"]
    assert named == [f"dashboards/{path.name}" for path in DASHBOARDS]
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl")
    (tmp_path / "overlay").mkdir()
    shutil.copytree(FOLDER, tmp_path / "watching")
    overlay = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    (tmp_path / "overlay" / "kustomization.yaml").write_text(
        overlay + "namespace: persona-ray\ncomponents: [../watching]\n"
    )
    built = subprocess.run(
        [kubectl, "kustomize", tmp_path / "overlay"], capture_output=True, text=True, check=True
    )
    kinds = {one["kind"]: one for one in yaml.safe_load_all(built.stdout)}
    assert kinds["PrometheusRule"]["spec"]["groups"] == groups()
    assert len(kinds["ConfigMap"]["data"]) == len(DASHBOARDS)


def test_the_page_lists_every_figure(repository: Path) -> None:
    page = (repository / "docs" / "watching.md").read_text(encoding="utf-8")
    missing = [
        row
        for one in ALL
        if (row := f"| `{one.name}` | {one.kind} | {', '.join(one.labels)} | {one.meaning} |")
        not in page.splitlines()
    ]
    assert missing == []
