"""Coming in: lockout, forgotten passwords and second factors."""

import re
import time
from collections.abc import Iterator

import pytest
import redis
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client
from pytest_django import Settings

from control import lockout
from control.lockout import Attempt
from control.models import ApiToken
from control.roles import Role
from processors.store import LOCKOUT, default_store
from project.embedded import EmbeddedValkey
from tests.control.account_people import PASSWORD, code_of, log_in, set_up_totp, words
from widgets.visitors.access import NO_SECOND_FACTOR, Credential, Grant, grants_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


# Lockout --------------------------------------------------------------------------------------------------------------


def test_guessing_locks_the_account_at_that_address_and_says_for_how_long(ann: User) -> None:
    guesser, elsewhere = Client(REMOTE_ADDR="192.0.2.7"), Client(REMOTE_ADDR="198.51.100.9")
    for n in range(5):
        assert "not correct" in words(log_in(guesser, "ann", f"guess {n}"))
    said = words(log_in(guesser, "ann"))
    assert re.search(r"Wait 5 minutes, then try again; an administrator can lift this\.", said)
    # By her mail address she is another account to guess, with counts of its own; the owner elsewhere comes in.
    assert log_in(elsewhere, "ann").status_code == 302


def test_whether_there_is_such_an_account_makes_no_difference(ann: User) -> None:
    answers: list[list[str]] = []
    for name in ("ann", "nobody"):
        client = Client(REMOTE_ADDR=f"192.0.2.{len(answers)}")
        answers.append([words(log_in(client, name, "guess")) for _ in range(6)])
    assert answers[0] == [said.replace("nobody", "ann") for said in answers[1]]


def test_one_password_at_many_accounts_locks_the_address(ann: User) -> None:
    client = Client(REMOTE_ADDR="192.0.2.7")
    for n in range(30):
        log_in(client, f"somebody{n}", "password")
    assert "Too many" in words(log_in(client, "ann"))
    # Its neighbours in an IPv4 network are others; in one's own IPv6 network they are not.
    assert log_in(Client(REMOTE_ADDR="192.0.2.8"), "ann").status_code == 302


def test_many_addresses_lock_the_account_for_an_hour() -> None:
    for n in range(100):
        assert Attempt("ann", f"10.0.0.{n}").wait_s() == 0
    assert 3_590 <= Attempt("Ann ", "10.1.0.1").wait_s() <= 3_600


def test_one_address_locks_nobody_out_but_itself(valkey: EmbeddedValkey) -> None:
    for _ in range(150):
        Attempt("ann", "192.0.2.7").wait_s()
    assert Attempt("ann", "198.51.100.9").wait_s() == 0
    with redis.Redis.from_url(valkey.url) as cache:
        before = cache.dbsize()
        for n in range(20):
            Attempt(f"nobody {n}", "192.0.2.7").wait_s()
        # Nor does it fill the cache.
        assert cache.dbsize() == before


def test_addresses_of_one_ipv6_household_are_counted_together() -> None:
    waits = [Attempt("ann", f"2001:db8:1:2::{n}").wait_s() for n in range(1, 7)]
    assert waits[:5] == [0] * 5
    assert waits[5] > 0


def test_ipv4_clients_of_a_socket_for_both_kinds_are_told_apart() -> None:
    waits = [Attempt("ann", "::ffff:192.0.2.7").wait_s() for _ in range(6)]
    assert waits[5] > 0
    assert Attempt("ann", "::ffff:192.0.2.8").wait_s() == 0


def test_a_login_forgets_its_own_failures_and_nobody_elses(valkey: EmbeddedValkey) -> None:
    for _ in range(4):
        Attempt("bob", "192.0.2.7").wait_s()
    attempt = Attempt("ann", "192.0.2.7")
    attempt.wait_s()
    attempt.succeeded()
    with redis.Redis.from_url(valkey.url) as cache:
        assert cache.get(f"{LOCKOUT}address:192.0.2.7") == b"4"
        # All of them go with time, and none shows what was typed.
        keys = cache.keys(f"{LOCKOUT}*")
        assert all(cache.ttl(key) > 0 for key in keys)
        assert not any(name in key for key in keys for name in (b"ann", b"bob"))


def test_an_administrator_lifts_a_lockout_and_it_is_on_record(ann: User, boss: Client) -> None:
    client = Client(REMOTE_ADDR="192.0.2.7")
    for n in range(6):
        log_in(client, "ann", f"guess {n}")
    chosen = {"action": "lift_lockout", "_selected_action": [ann.pk]}
    assert "may try to log in again" in words(boss.post("/admin/auth/user/", chosen, follow=True))
    assert LogEntry.objects.filter(object_id=str(ann.pk), change_message__contains="lockout").exists()
    assert log_in(client, "ann").status_code == 302


@pytest.fixture
def without_cache(settings: Settings) -> Iterator[None]:
    nowhere = "redis://127.0.0.1:1/0"
    default_store.cache_clear()
    settings.REDIS_URL = nowhere
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": nowhere}}
    yield
    default_store.cache_clear()


def test_who_runs_the_system_gets_in_while_the_cache_is_away(ann: User, at_home: Client, without_cache: None) -> None:
    secret = set_up_totp(at_home)
    client = Client()
    log_in(client, "ann")
    code = {"code": code_of(secret, 1)}
    assert client.post("/accounts/2fa/authenticate/", code).headers["Location"] == "/"
    assert client.get("/accounts/").status_code == 200
    # This process still knows that the code was used.
    other = Client()
    log_in(other, "ann")
    assert "used already" in words(other.post("/accounts/2fa/authenticate/", code))


def test_how_long_to_wait_is_said_in_words() -> None:
    assert [lockout.in_words(seconds) for seconds in (1, 90, 91, 3_600)] == [
        "1 second",
        "90 seconds",
        "2 minutes",
        "60 minutes",
    ]


# Passwords ------------------------------------------------------------------------------------------------------------


def test_a_password_is_reset_by_mail(ann: User, at_home: Client) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": "ann@example.com"})
    message = mail.outbox[-1]
    assert message.subject == "Tapewatch: Password Reset Email"
    assert "Tapewatch, testserver" in str(message.body)
    found = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", str(message.body))
    assert found is not None
    form = client.get(found[1], follow=True)
    new = {"password1": "quite another one", "password2": "quite another one"}
    assert client.post(form.request["PATH_INFO"], new).status_code == 302
    assert log_in(Client(), "ann", "quite another one").status_code == 302
    # Who was in with the old one is out, and the link is good once.
    assert at_home.get("/accounts/").status_code == 302
    assert "no longer good" in words(Client().get(found[1], follow=True))


def test_a_mail_server_that_is_away_breaks_no_page(ann: User, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    answer = Client().post("/accounts/password/reset/", {"email": "ann@example.com"})
    assert answer.headers["Location"] == "/accounts/password/reset/done/"


# Second factors -------------------------------------------------------------------------------------------------------


def test_a_second_factor_is_asked_for_and_its_secret_is_encrypted(ann: User, at_home: Client) -> None:
    secret = set_up_totp(at_home)
    stored = Authenticator.objects.get(user=ann, type=Authenticator.Type.TOTP)
    assert secret not in str(stored.data)
    seed = Authenticator.objects.get(user=ann, type=Authenticator.Type.RECOVERY_CODES).data["seed"]
    assert seed.startswith("gAAAA")

    client = Client()
    assert log_in(client, "ann").headers["Location"] == "/accounts/2fa/authenticate/"
    assert client.get("/accounts/").status_code == 302
    assert "not right" in words(client.post("/accounts/2fa/authenticate/", {"code": "000000"}))
    code = code_of(secret, 1)
    assert client.post("/accounts/2fa/authenticate/", {"code": code}).headers["Location"] == "/"
    assert client.get("/accounts/").status_code == 200

    # The same code a second time, seen over a shoulder.
    other = Client()
    log_in(other, "ann")
    assert "used already" in words(other.post("/accounts/2fa/authenticate/", {"code": code}))


def test_codes_cannot_be_guessed(at_home: Client) -> None:
    set_up_totp(at_home)
    client = Client()
    log_in(client, "ann")
    said = [words(client.post("/accounts/2fa/authenticate/", {"code": f"00000{n}"})) for n in range(6)]
    assert "Too many failed attempts" in said[-1]


def test_a_recovery_code_comes_in_once(at_home: Client) -> None:
    set_up_totp(at_home)
    codes = at_home.get("/accounts/2fa/recovery-codes/download/").content.decode().split()
    assert len(codes) == 10
    for answer in (302, 200):
        client = Client()
        log_in(client, "ann")
        assert client.post("/accounts/2fa/authenticate/", {"code": codes[0]}).status_code == answer
    assert "9 left" in words(at_home.get("/accounts/"))


def test_a_secret_that_no_key_fits_is_nobodys(ann: User, at_home: Client, settings: Settings) -> None:
    secret = set_up_totp(at_home)
    settings.SECRET_KEY = "another key of the server, set without the former one in the fallbacks"
    client = Client()
    log_in(client, "ann")
    for code in (code_of(secret, 1), code_of("", 0), code_of("", 1)):
        assert client.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 200


def test_sensitive_changes_ask_again_of_who_came_in_a_while_ago(
    ann: User, at_home: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert at_home.get("/accounts/2fa/totp/activate/").status_code == 200
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 301)
    for path in ("/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/"):
        answer = at_home.get(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    form = {"name": "late", "scopes": ["read"], "days": "7"}
    assert at_home.post("/accounts/tokens/", form).headers["Location"].startswith("/accounts/reauthenticate/")
    # Nor by another way.
    assert at_home.post("/api/v1/tokens", {"name": "late"}, "application/json").status_code == 403
    assert not ApiToken.objects.exists()
    assert "Incorrect password" in words(at_home.post("/accounts/reauthenticate/", {"password": "wrong"}))
    # The right one goes on where it was.
    done = at_home.post("/accounts/reauthenticate/?next=/accounts/tokens/", {"password": PASSWORD})
    assert "Your new token" in words(done)
    assert ApiToken.objects.get(user=ann).name == "late"


def test_an_administrator_removes_the_factors_of_who_lost_his_phone(ann: User, at_home: Client, boss: Client) -> None:
    set_up_totp(at_home)
    boss.post("/admin/auth/user/", {"action": "remove_second_factors", "_selected_action": [ann.pk]})
    assert log_in(Client(), "ann").headers["Location"] == "/"


def test_staff_may_be_asked_for_a_second_factor(ann: User, at_home: Client, settings: Settings) -> None:
    settings.REQUIRE_MFA = True
    # Who is no staff is not asked.
    assert at_home.get("/api/v1/price_levels").status_code == 200
    ann.groups.add(Group.objects.get(name=Role.OPERATOR))
    for path in ("/", "/admin/", "/accounts/targets/", "/accounts/tokens/"):
        assert at_home.get(path).headers["Location"] == "/accounts/"
    at_home.post("/accounts/tokens/", {"name": "way round", "scopes": ["operate"], "days": "7"})
    assert not ApiToken.objects.exists()
    refused = at_home.get("/api/v1/price_levels")
    assert (refused.status_code, refused.headers["Content-Type"]) == (403, "application/problem+json")
    assert "second factor" in refused.json()["detail"]
    assert "Your role asks for a second factor" in words(at_home.get("/", follow=True))
    # Nor do sockets live by such a login; those of programs were given tokens.
    credential = Credential(session_key=at_home.session.session_key)
    assert grants_of([credential])[credential] == NO_SECOND_FACTOR
    token = Credential(token_digest=ApiToken.issue(ann)[0].digest)
    assert isinstance(grants_of([token])[token], Grant)
    assert at_home.get("/healthz").status_code == 200
    set_up_totp(at_home)
    assert isinstance(grants_of([credential])[credential], Grant)
    assert at_home.get("/admin/").status_code in {200, 302}
    assert at_home.get("/api/v1/price_levels").status_code == 200
