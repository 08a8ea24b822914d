"""Scanners as people edit them: what is wrong is said at the field it is about."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from control.models import Scanner

pytestmark = pytest.mark.django_db


def _scanner(**values: Any) -> Scanner:
    return Scanner(
        **{"slug": "mine", "name": "Mine", "order_by": "pct_change", "columns": ["price", "pct_change"], **values}
    )


def _errors(scanner: Scanner) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as raised:
        scanner.full_clean()
    return raised.value.message_dict


_SHIPPED = {
    "top_gainers": "",
    "top_gappers": "",
    "top_volume": "",
    "top_losers": "",
    "top_trades:1m": "",
    "top_trades:5m": "",
    "top_trades:1h": "",
    "small_cap_hod_momo": "new_high",
    "small_cap_running_up": "enter",
    "small_cap_5_pillars": "enter",
    "small_cap_gappers": "",
    "small_cap_top_gainers": "",
    "halts": "halt",
    "resumptions": "resume",
    "volume_spikes": "enter",
    "vwap_crosses": "",
}


def test_the_shipped_boards_are_there_and_valid() -> None:
    boards = list(Scanner.objects.all())
    assert {board.slug: board.alert_on for board in boards} == _SHIPPED
    for board in boards:
        board.full_clean()
        assert board.description
        assert board.enabled
        assert board.columns
        assert board.owner is None


def test_a_scanner_with_good_expressions_is_valid() -> None:
    _scanner(where="price > 5 AND (pct_change > 10 OR accumulated_volume >= 2)", order_by="volume * price").full_clean()


@pytest.mark.parametrize(
    "where",
    [
        *("price >", "no_such_field > 1", "price > 5; DROP TABLE control_scanner", "(SELECT 1)", "count(*) > 1"),
        *("price > 5 -- comment\n OR", "1 = 1 UNION SELECT 2", "x" * 2_001, "(" * 500 + "price" + ")" * 500),
    ],
)
def test_a_condition_that_is_none_is_said_at_its_field(where: str) -> None:
    errors = _errors(_scanner(where=where))
    assert errors.keys() == {"where"}
    assert errors["where"][0]


@pytest.mark.parametrize("order_by", ["", "no_such_field", "price DESC, volume", "sum(price)", "random()"])
def test_an_order_that_is_none_is_said_at_its_field(order_by: str) -> None:
    assert _errors(_scanner(order_by=order_by)).keys() == {"order_by"}


@pytest.mark.parametrize(
    "columns", [["price", "nonsense"], "price", {"price": 1}, [["price"]], [{"price": 1}], [None], [5], None, 7]
)
def test_columns_that_are_none_are_said_at_their_field(columns: object) -> None:
    assert _errors(_scanner(columns=columns)).keys() == {"columns"}


@pytest.mark.parametrize("slug", ["", "Mine", "my scanner", "mine!", "mine\n", "a" * 101, "möwe", "mine/yours", "*"])
def test_a_slug_that_makes_no_feed_name_is_refused(slug: str) -> None:
    assert "slug" in _errors(_scanner(slug=slug))


def test_a_slug_is_unique() -> None:
    _scanner().save()
    assert "slug" in _errors(_scanner())
    with pytest.raises(IntegrityError), transaction.atomic():
        _scanner().save()


@pytest.mark.parametrize("limit", [0, -1, 501, 70_000])
def test_a_limit_is_within_bounds(limit: int) -> None:
    assert "limit" in _errors(_scanner(limit=limit))


@pytest.mark.parametrize("slug", ["level:1", "level:", "level"])
def test_a_slug_is_not_taken_from_price_levels(slug: str) -> None:
    assert "slug" in _errors(_scanner(slug=slug))
    _scanner(slug="levels").full_clean()


@pytest.mark.parametrize(("name", "value"), [("tick_ms", 249), ("tick_ms", 60_001), ("cooldown_s", 86_401)])
def test_ticks_and_cooldowns_are_within_bounds(name: str, value: int) -> None:
    assert _errors(_scanner(**{name: value})).keys() == {name}


@pytest.mark.parametrize(
    ("name", "value"), [("alert_on", "never"), ("sound", "trumpet"), ("notify", "mail"), ("notify", [1])]
)
def test_an_alert_that_cannot_be_given_is_said_at_its_field(name: str, value: object) -> None:
    assert _errors(_scanner(**{name: value})).keys() == {name}


def test_everybody_sees_the_shipped_boards_and_his_own_and_staff_all() -> None:
    mine, theirs = (User.objects.create_user(name) for name in ("mine", "theirs"))
    _scanner(owner=mine).save()
    for user, seen in ((mine, 1), (theirs, 0), (AnonymousUser(), 0), (User.objects.create_user("s", is_staff=True), 1)):
        assert Scanner.objects.visible_to(user).count() == len(_SHIPPED) + seen


def test_everything_wrong_is_said_at_once() -> None:
    assert _errors(_scanner(where="price >", order_by="nope", columns=["nope"])).keys() == {
        "where",
        "order_by",
        "columns",
    }
