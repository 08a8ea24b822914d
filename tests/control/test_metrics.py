"""`/metrics`: what Prometheus reads, who may, and that dashboard and alert rules name nothing that is not there."""

import json
import re
from collections.abc import Iterator
from time import time
from typing import Any

import msgspec
import pytest
import yaml
from django.contrib.auth.models import Permission, User
from django.test import Client
from msgspec.structs import asdict, replace
from prometheus_client.parser import text_string_to_metric_families

from control.models import ApiToken
from control.system.example import EXAMPLE
from control.system.metrics import exposition
from control.system.state import SYSTEM_STATE
from processors.store import default_store
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR

_NAME = re.compile(r"\btapewatch_[a-z0-9_]+\b")
_LABELS = re.compile(r"(tapewatch_[a-z0-9_]+)\{([^}]*)\}")


def _samples(text: str) -> list[Any]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


@pytest.fixture(scope="module")
def said() -> list[Any]:
    return _samples(exposition(EXAMPLE).decode())


def test_it_is_prometheus_text_without_the_same_series_twice(said: list[Any]) -> None:
    assert len(said) > 100
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in said]
    assert len(set(series)) == len(series)
    assert all(sample.name.startswith("tapewatch_") for sample in said)


def test_counters_count_and_gauges_stand(said: list[Any]) -> None:
    values = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in said}
    assert values["tapewatch_events_total", "processed", "trades"] == 7_201_380
    assert values["tapewatch_events_open", "in_flight", "trades"] == 20
    assert values["tapewatch_queue_oldest_seconds", "trades"] == 0.004
    assert values["tapewatch_latency_seconds", "0.99", "frame_to_socket"] == 0.041
    assert values["tapewatch_process_up", "feed worker", "feed1", "trading-1"] == 1
    assert values["tapewatch_problem", "component:feed2@trading-1", "feed2", "warning"] == 1
    assert values["tapewatch_part_up", "feed2"] == 0
    assert values["tapewatch_cache_evicted_keys_total",] == 0


def test_every_number_of_the_state_is_there(said: list[Any]) -> None:
    """A figure that nobody else has is changed, and has to change the text."""
    text = exposition(EXAMPLE)
    unseen = []
    for path, changed in _changed(EXAMPLE):
        if exposition(changed) == text:
            unseen.append(path)
    # What stands in words, times that are told otherwise, and names.
    allowed = {
        *("source.speed", "source.since", "source.market_clock", "workers.rss_bytes", "workers.cpu_pct"),
        *("workers.pid", "workers.since", "reference.day", "reference.age_s", "recordings.now.frames"),
        *("broker.since", "database.since", "engine.silent_ms", "components.pid", "reference.kinds.splits.at"),
        *("supervisor.parts.feed2.next_start_at", "supervisor.feed_workers_running", "web.since", "web.rss_bytes"),
        *("web.cpu_pct", "listener.in_per_s", "listener.published_per_s"),
    }
    assert set(unseen) <= allowed | {path for path in unseen if path.split(".")[0] in _ELSEWHERE}


# Told as lists, in sums, or by the same figures of other parts.
_ELSEWHERE = {"problems", "recoveries", "wds", "operations_running", "figures", "at"}


def _changed(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The state with one number changed, for each of its numbers."""
    yield from _each(state, path)


def _each(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int | float):
        yield path, value + 1
    elif isinstance(value, msgspec.Struct):
        for name, part in asdict(value).items():
            for where, other in _each(part, f"{path}.{name}".lstrip(".")):
                yield where, replace(value, **{name: other})
    elif isinstance(value, dict):
        for name, part in value.items():
            for where, other in _each(part, f"{path}.{name}"):
                yield where, {**value, name: other}
    elif isinstance(value, list):
        for at, part in enumerate(value):
            for where, other in _each(part, path):
                yield where, [*value[:at], other, *value[at + 1 :]]


def _expressions() -> Iterator[str]:
    rules = yaml.safe_load((BASE_DIR / "docs" / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert {"alert", "expr", "labels", "annotations"} <= set(rule)
            yield rule["expr"]
    dashboard = json.loads((BASE_DIR / "docs" / "grafana" / "tapewatch.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_dashboard_and_rules_name_only_metrics_and_labels_that_exist(said: list[Any]) -> None:
    labels: dict[str, set[str]] = {}
    for sample in said:
        labels.setdefault(sample.name, set()).update(sample.labels)
    expressions = list(_expressions())
    assert len(expressions) > 80
    for expression in expressions:
        for name in _NAME.findall(expression):
            assert name in labels, f"{name} in {expression}"
        for name, matchers in _LABELS.findall(expression):
            assert {matcher.group(1) for matcher in re.finditer(r"(\w+)\s*(?:=~|!=|=)", matchers)} <= labels[name]


def test_what_runs_prometheus_and_grafana_finds_its_files() -> None:
    services = yaml.safe_load((BASE_DIR / "docs" / "prometheus" / "compose.yml").read_text())["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    files = [BASE_DIR / path for path in mounted if path.startswith("./")]
    assert len(files) == 3
    assert all(path.is_file() for path in files)
    prometheus = yaml.safe_load((BASE_DIR / "docs" / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["rule_files"] == ["/etc/prometheus/alerts.yml"]
    (job,) = prometheus["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/metrics_token"}


@pytest.fixture
def published(valkey: EmbeddedValkey, transactional_db: None) -> None:
    fresh = replace(EXAMPLE, at=round(time() * 1_000))
    default_store().redis.set(SYSTEM_STATE, msgspec.json.encode(fresh))


def _operator(name: str = "chief", **more: Any) -> User:
    user = User.objects.create_user(name, **more)
    user.user_permissions.add(Permission.objects.get(codename="view_system"))
    return user


def _read(user: User | None = None, scopes: list[str] | None = None, secret: str = "") -> tuple[int, str]:
    token = ApiToken.issue(user, scopes=scopes)[1] if user is not None else secret
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = Client().get("/metrics", headers=headers)
    return response.status_code, response.content.decode()


def test_figures_are_for_tokens_made_for_them_and_for_logins_that_may_see_the_system(published: None) -> None:
    operator, viewer = _operator(), User.objects.create_user("viewer")
    assert _read(operator, ["metrics"])[0] == 200
    status, text = _read(operator, ["operate"])
    assert status == 200
    assert len(_samples(text)) > 100
    for answer, expected in (
        (_read(), 401),
        (_read(secret="tw_none"), 401),
        (_read(operator, ["read", "write"]), 403),
        (_read(viewer, ["metrics"]), 403),
    ):
        assert answer[0] == expected
        assert "tapewatch_" not in answer[1]
    browser = Client()
    browser.force_login(viewer, "allauth.account.auth_backends.AuthenticationBackend")
    assert browser.get("/metrics").status_code == 403
    browser.force_login(operator, "allauth.account.auth_backends.AuthenticationBackend")
    assert browser.get("/metrics").status_code == 200


def test_stale_figures_are_none(published: None) -> None:
    operator = _operator()
    cache = default_store().redis
    cache.set(SYSTEM_STATE, msgspec.json.encode(replace(EXAMPLE, at=round(time() * 1_000) - 9_000)))
    assert _read(operator, ["metrics"]) == (
        503,
        "The figures are stale: no web process gathers the system's state.\n",
    )
    cache.delete(SYSTEM_STATE)
    assert _read(operator, ["metrics"])[0] == 503
