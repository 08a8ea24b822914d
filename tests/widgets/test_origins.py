"""Which address a socket comes from, with and without proxies before us."""

from typing import Any

import pytest
from pytest_django import Settings

from widgets.visitors.origins import client_address, household, same_origin


def _scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    return {
        "client": None if peer is None else [peer, 50_000],
        "headers": [(b"host", b"scanner.example"), *((b"x-forwarded-for", line.encode()) for line in forwarded)],
    }


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        # Without a proxy the header is anybody's word.
        (0, ["1.2.3.4"], "10.0.0.9"),
        (1, ["1.2.3.4"], "1.2.3.4"),
        # What stands further left, the client has written itself.
        (1, ["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
        (2, ["9.9.9.9, 1.2.3.4,10.0.0.1"], "1.2.3.4"),
        # Headers of the same name are one list.
        (1, ["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
        (2, ["1.2.3.4", "10.0.0.1"], "1.2.3.4"),
        # It has not come through all the proxies.
        (1, [], "10.0.0.9"),
        (2, ["1.2.3.4"], "10.0.0.9"),
        # Some proxies write a port; IPv6 has many spellings.
        (1, ["1.2.3.4:55555"], "1.2.3.4"),
        (1, ["[2001:DB8::1]:443"], "2001:db8::1"),
        (1, ["2001:db8:0:0:0:0:0:1"], "2001:db8::1"),
        (1, ["::ffff:1.2.3.4"], "1.2.3.4"),
        (1, ["unknown"], "10.0.0.9"),
        (1, ["<script>"], "10.0.0.9"),
        (1, [""], "10.0.0.9"),
    ],
)
def test_the_address_is_what_the_trusted_proxy_saw(
    settings: Settings, proxies: int, forwarded: list[str], address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert client_address(_scope("10.0.0.9", *forwarded)) == address


def test_on_a_unix_socket_there_is_no_address(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 0
    assert client_address(_scope(None)) == ""
    settings.TRUSTED_PROXIES = 1
    assert client_address(_scope(None, "1.2.3.4")) == "1.2.3.4"


def test_ipv6_clients_have_a_whole_network_to_choose_from_and_count_as_one() -> None:
    assert household("2001:db8:1:2:3:4:5:6") == household("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert household("2001:db8:1:3::1") != household("2001:db8:1:2::1")
    assert household("1.2.3.4") == "1.2.3.4"
    assert household("") == ""


@pytest.mark.parametrize(
    ("https", "host", "origin", "ours"),
    [
        (False, "scanner.example:8000", "http://scanner.example:8000", True),
        (False, "scanner.example:8000", "http://SCANNER.example:8000", True),
        (True, "scanner.example", "https://scanner.example", True),
        # Programs.
        (True, "scanner.example", None, True),
        (True, "scanner.example", "http://scanner.example", False),
        (False, "scanner.example:8000", "http://scanner.example:8001", False),
        (False, "scanner.example:8000", "http://scanner.example", False),
        (False, "scanner.example", "http://scanner.example.evil.example", False),
        (False, "scanner.example", "http://scanner.example@evil.example", False),
        # Apps and files have origins of their own.
        (False, "localhost", "capacitor://localhost", False),
        (False, "scanner.example", "null", False),
        # A name of theirs that leads to us.
        (False, "evil.example", "http://evil.example", False),
        # No host is nobody's.
        (False, "", "null", False),
        (False, "", "file://", False),
        (False, "", "http://", False),
        (False, "[::1", "http://[::1", False),
    ],
)
def test_a_page_is_ours_by_scheme_host_and_port(
    settings: Settings, https: bool, host: str, origin: str | None, ours: bool
) -> None:
    settings.HTTPS, settings.CSRF_TRUSTED_ORIGINS = https, []
    settings.ALLOWED_HOSTS = ["scanner.example", "localhost"]
    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin is not None else [])]
    assert same_origin({"headers": headers}) is ours
