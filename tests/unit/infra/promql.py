"""Which figures a PromQL expression asks for, and which of them there are."""

from __future__ import annotations

import re

from persona_ray.watch.catalogue import ALL, DRIFTS

# Ray's own figures that rules and dashboards use: what a real cluster tells is compared with it.
OF_RAY = frozenset(
    {
        "ray_node_cpu_count",
        "ray_node_cpu_utilization",
        "ray_node_disk_free",
        "ray_node_disk_usage",
        "ray_node_mem_total",
        "ray_node_mem_used",
        "ray_object_store_memory",
        "ray_serve_deployment_queued_queries",
        "ray_serve_deployment_replica_healthy",
        "ray_serve_replica_processing_queries",
        "ray_tasks",
    }
)
# Told only by a node with a GPU, and of a deployment that failed.
OF_RAY_AT_TIMES = frozenset(
    {"ray_node_gpus_utilization", "ray_serve_deployment_error_counter_total"}
)
OF_PROMETHEUS = frozenset({"up", "ALERTS"})
OURS = {name: one for one in ALL for name in one.series}

_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}
_WORDS |= {"group_left", "group_right", "inf", "nan"}
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NAME = re.compile(r"(?<![a-zA-Z0-9_:])[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()(?![a-zA-Z0-9_:])")
_SELECTED = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")


def names_in(expression: str) -> set[str]:
    """Of the figures that it asks for."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = _LABELS.sub(" ", re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare))
    found = {one.group() for one in _NAME.finditer(bare)}
    return {name for name in found if name.lower() not in _WORDS}


def unknown(expression: str, recorded: frozenset[str]) -> set[str]:
    """Names that nobody tells, and labels that the figure does not have. `recorded`: by rules."""
    known = OF_RAY | OF_RAY_AT_TIMES | OF_PROMETHEUS | OURS.keys() | recorded
    wrong = names_in(expression) - known
    for name, selector in _SELECTED.findall(expression):
        if name in OURS:
            labels = set(re.findall(r"([a-zA-Z_]+)\s*(?:=|!)", re.sub(r'"[^"]*"', "", selector)))
            wrong |= {f"{name}{{{label}}}" for label in labels - set(OURS[name].labels)}
    for pattern in re.findall(r'__name__=~"([^"]*)"', expression):
        missed = {one.name for one in DRIFTS if not re.fullmatch(pattern, one.name)}
        wrong |= {f"{pattern} lacks {name}" for name in missed}
    return wrong
