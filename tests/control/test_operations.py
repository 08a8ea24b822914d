"""Operations: who may, what the audit log says, and what comes of them where nobody answers."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from io import StringIO
from threading import Event
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from control.models import AuditEntry, FeedSettings, Scanner
from control.operations import workers
from control.operations.answers import outcome_of
from control.operations.housekeeping import forget_old_entries
from control.operations.operation import Asked
from control.operations.performing import perform
from control.operations.registry import OPERATIONS
from control.selectors import feed_settings
from processors.components.agent import Agent, Carry
from processors.components.instructions import Answer, CannotDo, Said
from processors.components.report import Component, components
from processors.store import LISTENER_STATE, default_store
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from tests.control.api_callers import Api
from tests.rights import let_do
from tests.services import wait_until

pytestmark = pytest.mark.django_db

# Such as the browser's form and programs send.
PARAMETERS: dict[str, dict[str, Any]] = {
    "listener.configure": {"subscriptions": "A.*"},
    "listener.record": {"on": True},
    "workers.count": {"count": 2},
    "workers.restart": {"name": "feed1"},
    "jobs.autoscale": {"most": 3, "least": 1},
    "jobs.add_queue": {"queue": "quotes"},
    "jobs.cancel_queue": {"queue": "quotes"},
    "queues.purge": {"queue": "quotes"},
    "scanners.enable": {"slug": "top_volume"},
    "scanners.disable": {"slug": "top_volume"},
    "cache.clear": {"prefix": "unknown:"},
    "web.drain": {"process": "nowhere:1"},
    "part.restart": {"name": "scans"},
    "log.level": {"component": "listener", "level": "DEBUG"},
}


@pytest.fixture
def operator(db: None) -> Api:
    user = User.objects.create_user("olga")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="control"))
    return Api(user)


@pytest.fixture
def component(valkey: EmbeddedValkey) -> Iterator[Callable[..., Agent]]:
    """Starts agents, as processes of the system carry one."""
    with ExitStack() as stack:

        def start(name: str, kind: str, figures: dict[str, Any] | None = None, **knows: Carry) -> Agent:
            agent = Agent(name, kind, lambda: figures or {}, knows)
            agent.start()
            stack.callback(agent.stop)
            wait_until(lambda: any(one.name == name for one in components(default_store().redis)), what=name)
            return agent

        yield start


def entry() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def test_who_has_not_the_permission_gets_nothing_done_and_it_is_nobody_elses(valkey: EmbeddedValkey) -> None:
    user = User.objects.create_user("nobody")
    nobody = Api(user)
    for name in OPERATIONS:
        assert nobody("POST", f"/operations/{name}", PARAMETERS.get(name, {}))[0] == 403, name
    every = Permission.objects.filter(content_type__app_label="control")
    for permission in {operation.permission for operation in OPERATIONS.values()}:
        # Every other one is not enough.
        user.user_permissions.set(every.exclude(codename=permission.removeprefix("control.")))
        for name in (name for name, operation in OPERATIONS.items() if operation.permission == permission):
            status, problem = nobody("POST", f"/operations/{name}", PARAMETERS.get(name, {}))
            assert (status, permission in problem["detail"]) == (403, True), name
    user.user_permissions.clear()
    assert nobody("GET", "/operations")[0] == 403
    assert nobody("GET", "/audit")[0] == 403
    assert Api()("POST", "/operations/listener.stop", {})[0] == 401
    assert not AuditEntry.objects.exists()
    assert feed_settings().enabled


def test_a_token_without_the_scope_operates_nothing(operator: Api) -> None:
    assert operator.user is not None
    reader = Api(operator.user, "read", "write")
    assert reader("POST", "/operations/listener.stop", {})[0] == 403
    assert reader("GET", "/operations")[0] == 403
    assert reader("GET", "/audit")[0] == 403
    assert not AuditEntry.objects.exists()


def test_a_login_needs_the_csrf_token_and_is_written_down_as_a_browser(valkey: EmbeddedValkey) -> None:
    user = let_do(User.objects.create_user("olga"), ["run_listener", "view_system"])
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    path = "/api/v1/operations/listener.restart"
    assert browser.post(path, {}, content_type="application/json").status_code == 403
    browser.cookies["csrftoken"] = "a" * 32
    # As a form, whose body the search for the token has read already.
    assert browser.post(path, {"csrfmiddlewaretoken": "b" * 32}).status_code == 403
    assert browser.post(path, {}, headers={"X-CSRFToken": "a" * 32}).status_code == 400
    assert not AuditEntry.objects.exists()
    browser.post(path, {}, content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert (entry().via, entry().username, entry().address) == ("browser", "olga", "127.0.0.1")


def test_where_nothing_runs_every_operation_says_so_and_is_written_down(operator: Api, valkey: EmbeddedValkey) -> None:
    harmless = {"cache.clear", "queues.purge"}
    for name in OPERATIONS:
        # These two wait for who may come back within their time.
        if name in {"reference.reload", "listener.stop", "listener.start"}:
            continue
        status, said = operator("POST", f"/operations/{name}", PARAMETERS.get(name, {}))
        assert status == (200 if name in harmless else 504 if name.startswith("scanners.") else 409), (name, said)
        written = entry()
        assert written.operation == name
        assert written.state == {200: "done", 409: "failed", 504: "unanswered"}[status]
        assert written.finished_at is not None
        assert written.result == (said["result"] if status == 200 else said["detail"])
        assert status == 200 or said["entry"]["id"] == written.pk
    assert not Scanner.objects.get(slug="top_volume").enabled
    assert AuditEntry.objects.get(operation="listener.configure").parameters == {"subscriptions": "A.*"}


def test_parameters_that_can_never_be_used_are_refused_by_name(operator: Api, valkey: EmbeddedValkey) -> None:
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("listener.configure", {}, ""),
        ("listener.configure", {"subscriptions": "nonsense"}, "subscriptions"),
        ("listener.configure", {"feed": "http://user:secret@host"}, "feed"),
        ("listener.configure", {"market": "moon"}, "market"),
        ("listener.stop", {"now": True}, "now"),
        ("workers.count", {"count": 0}, "count"),
        ("workers.count", {}, "count"),
        ("jobs.autoscale", {"most": 1, "least": 2}, "least"),
        ("jobs.grow", {"by": 1_000}, "by"),
        ("jobs.add_queue", {"queue": "celery"}, "queue"),
        ("queues.purge", {"queue": "dead_letters"}, "queue"),
        ("cache.clear", {"prefix": "broker:"}, "prefix"),
        ("cache.clear", {"prefix": ""}, "prefix"),
        ("cache.clear", {"prefix": "*"}, "prefix"),
        ("log.level", {"component": "web", "level": "LOUD"}, "level"),
        ("web.drain", {"process": "a:1", "seconds": -1}, "seconds"),
    ]
    for name, parameters, field in bad:
        status, problem = operator("POST", f"/operations/{name}", parameters)
        assert status == 422, (name, parameters)
        assert field in problem["errors"], (name, problem)
    assert operator("POST", "/operations/listener.explode", {})[0] == 404
    assert not AuditEntry.objects.exists()


def test_what_a_component_answers_is_the_outcome(operator: Api, component: Callable[..., Agent]) -> None:
    def drain(arguments: dict[str, Any]) -> Said:
        if arguments["seconds"] > 100:
            raise CannotDo("So long nobody waits.")
        return Said("It sends 3 sockets away.", {"sockets": 3}, {"sockets": 0})

    component("web7", "web", drain=drain)
    process = components(default_store().redis)[0].address
    status, done = operator("POST", "/operations/web.drain", {"process": process, "seconds": 5})
    assert (status, done["state"], done["result"]) == (200, "done", "web7: It sends 3 sockets away.")
    assert (done["before"], done["after"]) == ({"web7": {"sockets": 3}}, {"web7": {"sockets": 0}})
    assert (done["target"], done["parameters"]) == (process, {"process": process, "seconds": 5})
    status, problem = operator("POST", "/operations/web.drain", {"process": process, "seconds": 200})
    assert (status, problem["detail"]) == (409, "web7: So long nobody waits.")

    status, done = operator("POST", "/operations/log.level", {"component": "all", "level": "INFO"})
    assert (status, done["after"]) == (200, {"web7": "INFO"})
    status, problem = operator("POST", "/operations/log.level", {"component": "listener", "level": "INFO"})
    assert (status, problem["detail"]) == (409, "No listener reports, so nobody can be asked: is it running?")

    status, known = operator("GET", "/operations")
    by_name = {one["name"]: one for one in known}
    assert status == 200
    assert by_name.keys() == OPERATIONS.keys()
    assert by_name["web.drain"]["choices"]["process"][0]["value"] == process
    assert by_name["web.drain"]["parameters"]["properties"]["seconds"]["maximum"] == 300
    assert by_name["listener.record"]["current"] == {"on": False}


def test_who_may_see_the_system_but_not_run_it_learns_what_he_may_not_do(valkey: EmbeddedValkey) -> None:
    watcher = Api(let_do(User.objects.create_user("wanda"), ["view_system"]))
    status, known = watcher("GET", "/operations")
    assert status == 200
    assert not any(one["permitted"] or one["choices"] or one["current"] for one in known)


def test_a_component_that_is_stuck_is_named_and_it_may_still_happen(
    operator: Api, component: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.operations.answers.ANSWER_S", 0.3)

    def stuck(arguments: dict[str, Any]) -> Said:
        given_up.wait(10)
        return Said("Late.")

    given_up = Event()
    component("web7", "web", drain=stuck)
    process = components(default_store().redis)[0].address
    status, problem = operator("POST", "/operations/web.drain", {"process": process})
    given_up.set()
    assert status == 504
    assert "web7" in problem["detail"]
    assert (problem["entry"]["state"], entry().state) == ("unanswered", "unanswered")


def test_who_names_several_web_processes_drains_none(operator: Api, component: Callable[..., Agent]) -> None:
    drained = Event()

    def drain(arguments: dict[str, Any]) -> Said:
        drained.set()
        return Said("It drains.")

    for name in ("web1", "web2"):
        component(name, "web", drain=drain)
    for meant in ("web", "all"):
        status, problem = operator("POST", "/operations/web.drain", {"process": meant})
        assert (status, problem["detail"]) == (409, f"No web process called {meant} reports.")
    assert not drained.is_set()


def test_where_no_successor_comes_the_other_workers_go_on(
    operator: Api, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_FOR_ONE_S", 0.1)
    asked: list[str] = []

    def worker(name: str) -> Agent:
        def restart(arguments: dict[str, Any]) -> Said:
            asked.append(name)
            return Said("It ends.", then=agent.stop)

        agent = Agent(name, "feed worker", instructions={"restart": restart})
        # Of its own, as if it was a process of its own.
        agent._host = name
        return agent

    with worker("feed1"), worker("feed2"):
        wait_until(lambda: len(components(default_store().redis)) == 2, what="both")
        status, problem = operator("POST", "/operations/workers.restart", {"name": "all"})
    assert (status, asked) == (504, ["feed1"])
    assert "The others (feed2) go on as they are" in problem["detail"]


def test_namesakes_on_several_hosts_are_told_apart() -> None:
    here, there = (
        Component("feed1", "feed worker", host, 7, 1, 1, 1, 0.0, 1, "INFO", [], {}) for host in ("east", "west")
    )
    outcome = outcome_of([Answer("feed1", "east", 7, True, "It ends.")], [here, there])
    assert outcome.state == "unanswered"
    assert "feed1 (process 7 on west)" in outcome.said
    assert "east" not in outcome.said


def test_who_is_overtaken_by_another_change_is_told_so(
    operator: Api, component: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asked, "wait", lambda asked, condition, at_most_s=0.0: bool(condition()))
    state = {"state": "live", "reason": "Reads.", "settings_revision": 1_000, "recording": None}
    default_store().redis.set(LISTENER_STATE, msgspec.json.encode(state))
    for name, parameters in (("listener.stop", {}), ("listener.record", {"on": True})):
        status, problem = operator("POST", f"/operations/{name}", parameters)
        assert (status, entry().state) == (409, "failed")
        assert problem["detail"].startswith("Somebody has changed the feed's settings again meanwhile")


def test_an_outcome_that_the_audit_log_does_not_take_is_told_all_the_same(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(one: AuditEntry, **options: Any) -> None:
        if one.pk:
            raise OperationalError("database is locked")
        Model.save(one, **options)

    chief = User.objects.create_superuser("chief")
    monkeypatch.setattr(AuditEntry, "save", save)
    said = perform("cache.clear", chief, AuditEntry.Via.COMMAND, parameters={"prefix": "unknown:"})
    assert said.state == "done"
    assert said.result == "0 keys are removed. The audit log could not take this outcome: there the entry stays asked."
    assert entry().state == "asked"


def test_scanners_are_switched_when_the_engine_says_so(operator: Api, component: Callable[..., Agent]) -> None:
    # What it ranks, by the look: it follows with the second only.
    ranked = iter([["top_volume", "halts"], ["halts"], ["halts"], ["top_volume", "halts"]])
    component("scans", "scans", look=lambda arguments: Said("", after={"scanners": next(ranked)}))
    status, done = operator("POST", "/operations/scanners.disable", {"slug": "top_volume"})
    assert (status, done["before"], done["after"]) == (200, {"enabled": True}, {"enabled": False})
    assert not Scanner.objects.get(slug="top_volume").enabled
    assert operator("POST", "/operations/scanners.enable", {"slug": "top_volume"})[0] == 200
    assert Scanner.objects.get(slug="top_volume").enabled
    assert next(ranked, None) is None
    assert operator("POST", "/operations/scanners.enable", {"slug": "none"})[0] == 409


def test_the_command_does_the_same_and_is_written_down_too(component: Callable[..., Agent]) -> None:
    component("web7", "web")
    said = StringIO()
    call_command("operate", "log.level", "component=web7", "level=INFO", stdout=said)
    assert said.getvalue() == "web7: It logs from INFO on.\n"
    assert (entry().via, entry().user, entry().state) == ("command", None, "done")
    assert entry().username
    call_command("operate", stdout=said)
    assert "workers.count count=\n" in said.getvalue()
    for words, problem in (
        (("listener.explode",), "There is no operation"),
        (("workers.count", "count=x"), "count: Input should be a valid integer"),
        (("workers.count", "count"), "key=value"),
        (("jobs.autoscale", "most=1", "least=2"), "At least cannot be more"),
        (("workers.count", "count=null"), "Failed: No `manage.py up` keeps"),
    ):
        with pytest.raises(CommandError, match=problem):
            call_command("operate", *words)
    assert FeedSettings.objects.filter(feed_workers=None).count() == 1


def test_every_operation_is_described() -> None:
    described = set(
        re.findall(r"`([a-z]+\.[a-z_]+)`", (BASE_DIR / "docs" / "operations.md").read_text().split("## ")[0])
    )
    assert OPERATIONS.keys() <= described
    for operation in OPERATIONS.values():
        assert operation.confirm.endswith(".")
        assert Permission.objects.filter(codename=operation.permission.removeprefix("control.")).exists()


def test_entries_go_when_their_time_is_over() -> None:
    for days in (1, 399, 401, 500):
        made = AuditEntry.objects.create(operation="listener.stop", username="olga", via="api")
        AuditEntry.objects.filter(pk=made.pk).update(at=timezone.now() - timedelta(days=days))
    assert forget_old_entries() == 2
    assert AuditEntry.objects.count() == 2
