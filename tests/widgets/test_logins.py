"""Coming in: right for each, however many come at once."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError

from control.tokens import page_token
from project.embedded import EmbeddedValkey
from tests.widgets.serving import new_login, new_token
from widgets.visitors import logins as module
from widgets.visitors.access import Credential, Grant, grants_of
from widgets.visitors.logins import Logins


async def test_many_who_come_at_once_are_looked_up_together(
    transactional_db: None, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await sync_to_async(lambda: [new_token(f"user {number}") for number in range(20)])()
    user, session = await sync_to_async(new_login)("of a page")
    looks: list[int] = []

    def counted(credentials: list[Credential]) -> dict[Credential, Grant | str]:
        looks.append(len(credentials))
        return grants_of(credentials)

    monkeypatch.setattr(module, "grants_of", counted)
    logins = Logins()
    *grants, by_page, wrong, by_session, by_none = await asyncio.gather(
        *(logins.by_key(token) for token in tokens),
        logins.by_key(page_token(user.pk, session)),
        logins.by_key("tw_wrong"),
        logins.by_session(session),
        logins.by_session(session[::-1]),
    )
    assert [grant.username for grant in grants if grant is not None] == [f"user {number}" for number in range(20)]
    assert by_page is not None
    assert by_page == by_session
    assert wrong is None
    assert by_none is None
    assert len(looks) <= 2
    # Who comes later is looked up anew.
    assert await logins.by_key(tokens[0]) == grants[0]


async def test_a_page_token_is_worth_its_login_once(transactional_db: None, valkey: EmbeddedValkey) -> None:
    user, session = await sync_to_async(new_login)("ann")
    logins, token = Logins(), page_token(user.pk, session)
    grant = await logins.by_key(token)
    assert grant is not None
    assert grant == await logins.by_session(session)
    assert await logins.by_key(token) is None


async def test_a_page_token_of_a_session_that_is_not_the_users_is_worth_nothing(
    transactional_db: None, valkey: EmbeddedValkey
) -> None:
    user, session = await sync_to_async(new_login)("ann")
    other, _ = await sync_to_async(new_login)("other", staff=True)
    tokens = (page_token(other.pk, session), page_token(user.pk, ""), page_token(user.pk, "no such session"))
    assert [await Logins().by_key(token) for token in tokens] == [None] * 3


async def test_with_the_database_away_each_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(credentials: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(module, "grants_of", away)
    logins = Logins()
    answers = await asyncio.gather(*(logins.by_key("tw_x") for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["away"] * 3
