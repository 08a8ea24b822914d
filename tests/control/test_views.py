"""Pages and probes, as browsers and operators ask for them."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from control.models import FeedGrant, Scanner
from control.tokens import spend_page_token
from processors.fields import FIELDS
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from tests import services
from tests.rights import VIEWER, let_read

pytestmark = pytest.mark.django_db

_PASSWORD = "a long enough one"


@pytest.fixture(autouse=True)
def _manifest(tmp_path: Path, settings: Settings) -> None:
    """The page names the built front end's files; whether they are built is no concern of these tests."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"src/main.ts": {"file": "main.js", "src": "src/main.ts", "isEntry": true}}')
    from django_vite.core.asset_loader import DjangoViteAssetLoader

    settings.DJANGO_VITE = {"default": {**django_settings.DJANGO_VITE["default"], "manifest_path": manifest}}
    DjangoViteAssetLoader._instance = None


@pytest.fixture
def trader() -> User:
    return let_read(User.objects.create_user("trader", email="trader@example.com", password=_PASSWORD), *VIEWER)


@pytest.fixture
def browser(trader: User) -> Client:
    """A browser that is logged in and keeps its CSRF token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(trader)
    return client


class _Page(HTMLParser):
    """The JSON of the script element with the id `page`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._inside = False
        self._text = ""
        self.feed(html)
        self.content: dict[str, Any] = json.loads(self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and dict(attrs).get("id") == "page"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._text += data


def _page(client: Client) -> dict[str, Any]:
    response = client.get("/")
    assert response.status_code == 200
    return _Page(response.content.decode()).content


def test_the_dashboard_needs_a_login(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response.headers["Location"] == "/accounts/login/?next=/"


def test_the_dashboard_tells_the_page_all_that_it_expects(browser: Client, trader: User) -> None:
    page = _page(browser)
    source = (BASE_DIR / "widgets" / "frontend" / "src" / "page.ts").read_text(encoding="utf-8")
    expected = re.search(r"export interface Page \{(.*?)\n\}", source, re.DOTALL)
    assert expected is not None
    assert page.keys() == set(re.findall(r"readonly (\w+)\??:", expected[1]))
    assert page["user"] == "trader"
    assert page["admin_url"] is None
    assert page["wds_url"] == ""
    assert [board["slug"] for board in page["boards"]][:3] == ["top_gainers", "top_gappers", "top_volume"]
    board_keys = re.search(r"export interface Board \{(.*?)\n\}", source, re.DOTALL)
    assert board_keys is not None
    assert page["boards"][0].keys() == set(re.findall(r"readonly (\w+)\??:", board_keys[1]))
    assert page["fields"].keys() == {field.name for field in FIELDS}
    for address in ("login_url", "logout_url", "token_url", "account_url"):
        assert browser.get(page[address]).status_code in {200, 302, 405}


def test_the_dashboard_of_staff_leads_to_the_admin(browser: Client) -> None:
    User.objects.update(is_staff=True)
    assert _page(browser)["admin_url"] == "/admin/"


def test_only_boards_that_are_switched_on_are_shown(browser: Client) -> None:
    Scanner.objects.filter(slug="top_gappers").update(enabled=False)
    assert [board["slug"] for board in _page(browser)["boards"]][:2] == ["top_gainers", "top_volume"]


def test_boards_of_others_are_not_shown(browser: Client, trader: User) -> None:
    for slug, owner in (("mine", trader), ("theirs", User.objects.create_user("other"))):
        Scanner.objects.create(slug=slug, name=slug, order_by="price", columns=["price"], owner=owner)
    slugs = {board["slug"] for board in _page(browser)["boards"]}
    assert "mine" in slugs
    assert "theirs" not in slugs


def test_names_that_look_like_markup_do_not_leave_the_script(browser: Client) -> None:
    name = "</script><script>alert(1)</script><!--"
    Scanner.objects.filter(slug="top_volume").update(name=name)
    assert name not in browser.get("/").content.decode()
    assert _page(browser)["boards"][2]["name"] == name


def test_no_key_and_no_secret_is_in_the_page(browser: Client, settings: Settings) -> None:
    settings.MASSIVE_API_KEY = "the-vendors-key"
    html = browser.get("/").content.decode()
    for secret in ("the-vendors-key", django_settings.SECRET_KEY, str(django_settings.RUN_DIR), "redis", "sqlite"):
        assert secret not in html


def test_the_dashboard_is_never_cached_and_has_safe_headers(browser: Client) -> None:
    response = browser.get("/")
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    # Nothing that a policy against inline scripts would have to allow.
    html = re.sub(r'<script id="page" type="application/json">.*?</script>', "", response.content.decode(), flags=re.S)
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\son\w+=|javascript:", html)


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_the_dashboard_is_for_reading(browser: Client, method: str) -> None:
    page = _page(browser)
    response = getattr(browser, method)("/", headers={"X-CSRFToken": page["csrf_token"]})
    assert response.status_code == 405


def test_boards_without_a_grant_are_not_shown(browser: Client, trader: User) -> None:
    assert _page(browser)["may_read_nothing"] is False
    FeedGrant.objects.filter(users=trader).delete()
    page = _page(browser)
    assert (page["boards"], page["may_read_nothing"]) == ([], True)
    let_read(trader, "scanners:top_g*")
    page = _page(browser)
    assert [board["slug"] for board in page["boards"]] == ["top_gainers", "top_gappers"]
    assert page["may_read_nothing"] is False


def test_the_page_gets_fresh_tokens(browser: Client, trader: User, valkey: EmbeddedValkey) -> None:
    page = _page(browser)
    response = browser.post(page["token_url"], headers={"X-CSRFToken": page["csrf_token"]})
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    for token in (page["token"], response.json()["token"]):
        assert spend_page_token(token) == (trader.pk, browser.session.session_key)


def test_a_token_is_given_to_none_but_the_page_itself(browser: Client) -> None:
    page = _page(browser)
    assert browser.get("/session/token").status_code == 405
    assert browser.post("/session/token").status_code == 403
    assert browser.post("/session/token", headers={"X-CSRFToken": "x" * 64}).status_code == 403
    elsewhere = {"X-CSRFToken": page["csrf_token"], "Origin": "http://elsewhere.example"}
    assert browser.post("/session/token", headers=elsewhere).status_code == 403
    Session.objects.all().delete()
    response = browser.post("/session/token", headers={"X-CSRFToken": page["csrf_token"]})
    assert response.status_code == 401
    assert response.json() == {"error": "You are not logged in."}


def _log_in(client: Client, name: str, password: str) -> Any:
    page = client.get("/accounts/login/")
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())
    assert found is not None
    return client.post("/accounts/login/", {"login": name, "password": password, "csrfmiddlewaretoken": found[1]})


@pytest.mark.parametrize("name", ["trader", "trader@example.com"])
def test_logging_in_and_out(trader: User, valkey: EmbeddedValkey, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    response = _log_in(client, name, _PASSWORD)
    assert response.status_code == 302
    assert response.headers["Location"] == "/"
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    page = _page(client)
    # By POST alone: a link to it on another page logs nobody out.
    assert client.get("/accounts/logout/").status_code == 200
    assert client.get("/").status_code == 200
    assert client.post("/accounts/logout/").status_code == 403
    client.post("/accounts/logout/", headers={"X-CSRFToken": page["csrf_token"]})
    assert client.get("/").status_code == 302


def test_a_wrong_password_says_so_and_a_login_leads_nowhere_else(trader: User, valkey: EmbeddedValkey) -> None:
    client = Client(enforce_csrf_checks=True)
    response = _log_in(client, "trader", "wrong")
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert "wrong" not in re.sub(r"<[^>]*>", "", response.content.decode()).split()
    client = Client()
    response = client.post(
        "/accounts/login/?next=https://elsewhere.example/",
        {"login": "trader", "password": _PASSWORD, "next": "https://elsewhere.example/"},
    )
    assert response.headers["Location"] == "/"


def test_guessing_passwords_is_limited(trader: User, valkey: EmbeddedValkey) -> None:
    client = Client()
    answers = [client.post("/accounts/login/", {"login": "trader", "password": f"guess {n}"}) for n in range(6)]
    assert "Too many failed login attempts" in answers[-1].content.decode()
    # Not even the right one now.
    assert "Too many" in client.post("/accounts/login/", {"login": "trader", "password": _PASSWORD}).content.decode()


def test_the_admins_own_login_is_no_way_around_the_limit(trader: User, client: Client) -> None:
    response = client.post("/admin/login/?next=/admin/", {"username": "trader", "password": _PASSWORD})
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/accounts/login/")
    assert client.get("/").status_code == 302


def test_nobody_signs_up(client: Client) -> None:
    page = client.get("/accounts/signup/")
    assert page.status_code == 200
    assert "<form" not in page.content.decode()
    new = {"username": "stranger", "email": "s@example.com", "password1": _PASSWORD, "password2": _PASSWORD}
    client.post("/accounts/signup/", new)
    assert not User.objects.filter(username="stranger").exists()


@pytest.mark.parametrize(
    "path", ["login/", "logout/", "signup/", "password/change/", "password/reset/", "password/reset/done/", "inactive/"]
)
def test_account_pages_render_for_everybody(browser: Client, client: Client, valkey: EmbeddedValkey, path: str) -> None:
    for who in (browser, client):
        response = who.get(f"/accounts/{path}")
        assert response.status_code in {200, 302}
        if response.status_code == 200:
            assert "Tapewatch" in response.content.decode()


def test_changing_the_password_keeps_this_login_and_ends_the_others(trader: User, valkey: EmbeddedValkey) -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.force_login(trader)
    new = {"oldpassword": _PASSWORD, "password1": "quite another one", "password2": "quite another one"}
    assert here.post("/accounts/password/change/", new).status_code == 302
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


def test_resetting_a_password_does_not_tell_who_has_an_account(
    client: Client, trader: User, valkey: EmbeddedValkey, mailoutbox: list[Any]
) -> None:
    answers = [
        client.post("/accounts/password/reset/", {"email": email}) for email in ("trader@example.com", "no@example.com")
    ]
    assert {(answer.status_code, answer.headers.get("Location")) for answer in answers} == {
        (302, "/accounts/password/reset/done/")
    }
    assert "password" in mailoutbox[0].body.lower()


def test_pages_that_are_not_there_say_so(client: Client) -> None:
    response = client.get("/no/such/page")
    assert response.status_code == 404
    assert "Tapewatch" in response.content.decode()


def test_healthz_answers_whatever_else_is_down(client: Client) -> None:
    assert client.get("/healthz").content == b"ok"


def test_readyz_tells_what_can_be_reached(client: Client, valkey: EmbeddedValkey) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"database": "ok", "cache": "ok", "broker": "ok"}


def test_readyz_names_what_is_down(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://:hush@127.0.0.1:1/0"
    for broker in ("amqp://user:hush@127.0.0.1:1//", "redis+socket:///nowhere.sock"):
        settings.CELERY_BROKER_URL = broker
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json() == {"database": "ok", "cache": "unreachable", "broker": "unreachable"}


def test_readyz_with_the_broker_alone(client: Client, settings: Settings, valkey: EmbeddedValkey) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/readyz")
    assert response.json() == {"database": "ok", "cache": "unreachable", "broker": "ok"}


def test_readyz_leaves_no_connection_open(client: Client, valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache:
        client.get("/readyz")
        before = len(cache.client_list())
        for _ in range(10):
            client.get("/readyz")
        assert len(cache.client_list()) <= before + 2


def test_behind_tls_everything_is_for_tls_alone(tmp_path: Path) -> None:
    secure = {
        "HTTPS": "1",
        "ALLOWED_HOSTS": "scanner.example.com",
        "CSRF_TRUSTED_ORIGINS": "https://scanner.example.com",
        "WDS_URL": "wss://sockets.example.com/ws",
        "OIDC_ISSUER": "https://login.example.com/realms/desk",
        "OIDC_CLIENT_ID": "tapewatch",
        "OIDC_CLIENT_SECRET": "the-clients-secret",
    }
    done = services.manage("check", "--deploy", "--fail-level", "WARNING", env=services.environment(tmp_path, **secure))
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "DEBUG")
    policy = "settings.CONTENT_SECURITY_POLICY['DIRECTIVES']"
    code = (
        f"from django.conf import settings; print([getattr(settings, name) for name in {names}], "
        f"{policy}['connect-src'][1:], {policy}['form-action'][1:], {policy}['upgrade-insecure-requests'])"
    )
    done = services.manage("shell", "--no-imports", "-c", code, env=services.environment(tmp_path, **secure))
    assert done.stdout.strip() == (
        "[True, True, True, 31536000, False] ['wss://sockets.example.com'] ['https://login.example.com'] True"
    )
