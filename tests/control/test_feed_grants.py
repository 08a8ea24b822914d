"""Grants of feeds: what a pattern covers, whom it reaches, and what the API, the admin and the page make of it."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from control.feed_patterns import FAMILIES, allows, covers, problem_of
from control.models import Alert, ApiToken, FeedGrant, Scanner
from control.models.rights import may_read
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.rights import OPERATOR, VIEWER, let_read, new_user

# A feed of each family, with what an operator has beyond.
_MARKET = (
    *("scanners:top_gainers", "top_10_lists", "quote:AAPL", "alerts", "alerts:halts", "bars:1m:AAPL", "news:latest"),
    *("stocks:trades:AAPL", "options:trades:O:A", "indices:value:I:SPX", "crypto:trades:X:BTC-USD"),
    *("forex:quotes:C:EUR/USD", "futures:trades:ESZ6"),
)
_SYSTEM = ("status:components", "unknown", "unknown:1")

_names = st.text("ab:", min_size=1, max_size=5)
_patterns = st.one_of(_names, _names.map(lambda name: f"{name}*"))


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@given(granted=_patterns, wanted=_patterns, end=st.text("ab:", max_size=5))
def test_a_pattern_covers_another_when_it_matches_all_that_it_matches(granted: str, wanted: str, end: str) -> None:
    stem = wanted.removesuffix("*")
    # What is granted less widely than wanted leaves one of the first two out.
    names = {stem, f"{stem}z", f"{stem}{end}"} if wanted.endswith("*") else {wanted}
    assert covers(granted, wanted) == all(_matches(granted, name) for name in names)


@given(patterns=st.frozensets(_patterns, max_size=3), feed=st.one_of(_patterns, st.text(max_size=8)))
def test_what_is_no_documented_feed_is_read_by_nobody(patterns: frozenset[str], feed: str) -> None:
    if feed.removesuffix("*").partition(":")[0] not in FAMILIES:
        assert not allows({*patterns, feed}, feed)


@given(st.lists(st.sampled_from((*VIEWER, *OPERATOR)), max_size=5), st.sampled_from((*_MARKET, *_SYSTEM)))
def test_more_grants_never_let_read_less(patterns: list[str], feed: str) -> None:
    allowed = [allows(patterns[:count], feed) for count in range(len(patterns) + 1)]
    assert allowed == sorted(allowed)


def test_two_grants_do_not_make_a_wider_one() -> None:
    assert not allows({f"scanners:{letter}*" for letter in "abcdefghijklmnopqrstuvwxyz0123456789_:"}, "scanners:*")


@pytest.mark.parametrize("pattern", ["scanners:*", "scanners:top_gainers", "alerts*", "status:components", "stocks:*"])
def test_documented_feeds_can_be_granted(pattern: str) -> None:
    FeedGrant(pattern=pattern).clean_fields()
    assert problem_of(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        *(("*", "its beginning and *"), ("scanners:*:x", "* at the end alone"), ("scanners: x", "letters, digits")),
        *(("scan*", "in full: scanners:*, not scan*"), ("scanner:x", "There are no feeds that begin so")),
        *(("tw:source", "Begin with one of alerts, bars, crypto"), ("celery", "no feeds"), ("x" * 101, "100")),
    ],
)
def test_a_pattern_of_no_feed_is_refused_with_what_to_write(pattern: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FeedGrant(pattern=pattern).clean_fields()
    assert said in " ".join(refused.value.message_dict["pattern"])


@pytest.mark.django_db
def test_a_new_user_reads_the_status_and_nothing_else() -> None:
    user = User.objects.create_user("new", is_staff=True)
    assert may_read(user, "status")
    assert not any(may_read(user, feed) for feed in (*_MARKET, *_SYSTEM, "status*", "status:*"))


@pytest.mark.django_db
def test_the_groups_that_are_shipped_read_what_they_are_for() -> None:
    viewer, operator = User.objects.create_user("viewer"), User.objects.create_user("operator")
    viewer.groups.add(Group.objects.get(name="viewer"))
    operator.groups.add(Group.objects.get(name="operator"))
    assert {feed for feed in (*_MARKET, *_SYSTEM) if may_read(viewer, feed)} == set(_MARKET)
    assert {feed for feed in (*_MARKET, *_SYSTEM) if may_read(operator, feed)} == set(_SYSTEM)
    assert all(may_read(viewer, pattern) for pattern in ("scanners:*", "alerts*", "stocks:quotes:*"))
    assert not any(may_read(viewer, pattern) for pattern in ("scanners*", "status*", "unknown*"))
    assert operator.has_perm("control.view_sockets")


@pytest.mark.django_db
def test_superusers_and_who_has_the_permission_read_everything() -> None:
    permission = Permission.objects.get(codename="read_every_feed")
    group = Group.objects.create(name="auditors")
    group.permissions.add(permission)
    boss, single, member = User.objects.create_superuser("boss"), *map(User.objects.create_user, ("single", "member"))
    single.user_permissions.add(permission)
    member.groups.add(group)
    for user in (boss, single, member):
        assert all(may_read(user, feed) for feed in (*_MARKET, *_SYSTEM, "scanners*", "unknown*", "status*"))
        assert not may_read(user, "tw:source")
        assert not may_read(user, "*")
    User.objects.update(is_active=False)
    assert not may_read(User.objects.get(username="boss"), "scanners:top_gainers")


@pytest.mark.django_db
def test_rights_of_many_are_asked_at_once(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    wide, narrow = new_user("wide"), new_user("narrow", "quote:A*", "quote:AAPL")
    none = User.objects.create_user("none")
    narrow.groups.add(Group.objects.get(name="operator"))
    with django_assert_num_queries(4):
        found = FeedGrant.objects.patterns_of([wide.pk, narrow.pk, none.pk])
    expected = {wide.pk: VIEWER, narrow.pk: ("quote:A*", "quote:AAPL", *OPERATOR), none.pk: ()}
    assert found == {user: frozenset(patterns) for user, patterns in expected.items()}


@pytest.mark.django_db
def test_the_migration_keeps_those_reading_who_are_there_and_can_be_taken_back() -> None:
    migration = import_module("control.migrations.0009_feed_grants")
    Group.objects.create(name="desk")
    User.objects.create_user("trader")
    User.objects.create_user("staff", is_staff=True)
    User.objects.create_user("gone", is_active=False)
    import_module("control.migrations.0011_roles").remove(apps, None)
    migration.remove(apps, None)
    assert [group.name for group in Group.objects.all()] == ["desk"]
    FeedGrant.objects.all().delete()
    migration.add(apps, None)
    groups = {user.username: {group.name for group in user.groups.all()} for user in User.objects.all()}
    assert groups == {"trader": {"viewer"}, "staff": {"viewer", "operator"}, "gone": set()}
    # A group that has come to mean more stays.
    Group.objects.get(name="viewer").permissions.add(Permission.objects.get(codename="view_alert"))
    migration.remove(apps, None)
    assert {group.name for group in Group.objects.all()} == {"desk", "viewer"}
    # And makes nobody who only reads a member.
    Group.objects.get(name="viewer").user_set.clear()
    FeedGrant.objects.all().delete()
    migration.add(apps, None)
    trader = User.objects.get(username="trader")
    assert not trader.groups.exists()
    assert may_read(trader, "scanners:*")
    assert not may_read(trader, "unknown")
    assert not may_read(User.objects.get(username="gone"), "scanners:*")


def _statuses(caller: Api) -> dict[str, int]:
    preview = ("POST", "/scanners/preview", {"where": "price > 1"})
    calls = (
        *(("GET", "/boards/top_gainers", None), ("GET", "/boards/halts", None), ("GET", "/alerts", None), preview),
        *(("POST", "/backtests", {"recording": "none"}), ("GET", "/backtests/1", None)),
    )
    return {path: caller(method, path, body)[0] for method, path, body in calls}


@pytest.mark.django_db
def test_the_api_tells_what_the_sockets_would(valkey: EmbeddedValkey) -> None:
    allowed = {
        "/boards/top_gainers": 200,
        "/boards/halts": 200,
        "/alerts": 200,
        "/scanners/preview": 200,
        "/backtests": 422,
        "/backtests/1": 404,
    }
    trader = User.objects.create_user("trader")
    trader.groups.add(Group.objects.get(name="trader"))
    for reader in (trader, new_user("single"), User.objects.create_superuser("boss")):
        assert _statuses(Api(reader)) == allowed
    operator = User.objects.create_user("operator", is_staff=True)
    operator.groups.add(Group.objects.get(name="operator"))
    for stranger in (User.objects.create_user("none"), operator):
        assert _statuses(Api(stranger)) == dict.fromkeys(allowed, 403)
    assert _statuses(Api()) == dict.fromkeys(allowed, 401)
    narrow = Api(new_user("narrow", "scanners:top_*", "quote:*"))
    assert _statuses(narrow) == {**dict.fromkeys(allowed, 403), "/boards/top_gainers": 200}
    # It does not tell which boards there are beyond.
    assert narrow("GET", "/boards/none")[0] == 403
    assert "scanners:halts" in narrow("GET", "/boards/halts")[1]["detail"]


_RULES = ["halts", "top_gainers", "top_volume"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("patterns", "rules"),
    [
        *(
            (("alerts",), ["halts", "top_gainers", "top_volume"]),
            (("alerts*",), ["halts", "top_gainers", "top_volume"]),
        ),
        *((("alerts:*",), ["halts", "top_gainers", "top_volume"]), (("alerts:halts",), ["halts"])),
        *((("alerts:top_*", "scanners:*"), ["top_gainers", "top_volume"]), (("alerts:TOP_*",), [])),
        *((("alerts:top_v*", "alerts:halts"), ["halts", "top_volume"]), (("alerts:user:*",), [])),
    ],
)
@pytest.mark.parametrize("staff", [True, False])
def test_the_history_has_the_alerts_of_the_rules_that_one_may_read(
    valkey: EmbeddedValkey, patterns: tuple[str, ...], rules: list[str], staff: bool
) -> None:
    for number, rule in enumerate(_RULES):
        Alert.objects.create(id=str(number), rule=rule, kind="enter", symbol="A", at=number, trading_day="2026-03-02")
    caller = Api(new_user("somebody", *patterns, staff=staff))
    assert sorted(alert["rule"] for alert in caller("GET", "/alerts")[1]["alerts"]) == rules


@pytest.fixture
def boss(db: None, valkey: EmbeddedValkey) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_a_user_is_made_with_a_group_or_with_a_warning(boss: Client) -> None:
    page = boss.get("/admin/auth/user/add/").content.decode()
    assert "A new user reads no market data" in page
    assert "viewer: reads the market" in page
    form = {"usable_password": "false", "password1": "", "password2": ""}
    viewer = Group.objects.get(name="viewer")
    warning = "may read no market data: choose the group viewer"
    said = boss.post("/admin/auth/user/add/", {**form, "username": "ann", "groups": [viewer.pk]}, follow=True)
    assert warning not in said.content.decode()
    assert may_read(User.objects.get(username="ann"), "scanners:top_gainers")
    said = boss.post("/admin/auth/user/add/", {**form, "username": "bob"}, follow=True)
    assert warning in said.content.decode()
    bob = User.objects.get(username="bob")
    assert not may_read(bob, "scanners:top_gainers")
    assert "nothing but the market" in boss.get(f"/admin/auth/user/{bob.pk}/change/").content.decode()
    boss.post("/admin/auth/user/", {"action": "make_viewers", "_selected_action": [bob.pk]})
    assert may_read(User.objects.get(username="bob"), "scanners:top_gainers")
    assert "scanners:*" in boss.get(f"/admin/auth/user/{bob.pk}/change/").content.decode()
    viewer.delete()
    said = boss.post("/admin/auth/user/", {"action": "make_viewers", "_selected_action": [bob.pk]}, follow=True)
    assert "There is no group viewer" in said.content.decode()


def test_grants_are_given_in_the_admin(boss: Client) -> None:
    ann, desk = User.objects.create_user("ann"), Group.objects.create(name="desk")
    address = "/admin/control/feedgrant/add/"
    assert "in full: scanners:*, not scan*" in boss.post(address, {"pattern": "scan*"}).content.decode()
    assert boss.post(address, {"pattern": "scanners:top_*", "users": [ann.pk], "groups": [desk.pk]}).status_code == 302
    assert may_read(ann, "scanners:top_gainers")
    page = boss.get("/admin/control/feedgrant/").content.decode()
    assert all(text in page for text in ("scanners:top_*", "ann", "desk", "viewer"))
    assert "scanners:top_*" in boss.get("/admin/auth/group/").content.decode()


def test_a_tokens_state_is_listed_and_the_token_is_not(boss: Client) -> None:
    row, token = ApiToken.issue(User.objects.create_user("ann"), "laptop", days=1)
    User.objects.filter(username="ann").update(is_active=False)
    page = boss.get("/admin/control/apitoken/").content.decode()
    assert "its user is switched off" in page
    assert not any(secret in page for secret in (token, row.digest))


@pytest.mark.django_db
def test_a_scanner_of_ones_own_needs_a_grant_too(valkey: EmbeddedValkey) -> None:
    user = User.objects.create_user("owner")
    Scanner.objects.create(slug="mine", name="Mine", order_by="price", columns=["price"], owner=user)
    owner = Api(user)
    assert owner("GET", "/boards/mine")[0] == 403
    let_read(user, "scanners:mine")
    assert owner("GET", "/boards/mine")[0] == 200
