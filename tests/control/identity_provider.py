"""An OpenID Connect provider on a loopback address, as a company runs one: it knows one person, and asks nothing."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


class Provider:
    """The provider.

    Attributes:
        issuer: Its address.
        claims: Who comes in, as its userinfo says it.
        codes: Codes that were given out, each with the challenge that it was asked for with.
    """

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.codes: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Provider"]:
        """Answer requests until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        yield self
        self._server.shutdown()
        thread.join()
        self._server.server_close()

    def approve(self, address: str) -> str:
        """What it does when somebody whom it knows comes to its page: the address that it sends him back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["code_challenge_method"] == "S256"
        code = f"code{len(self.codes)}"
        self.codes[code] = asked["code_challenge"]
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - a handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/openid-configuration":
                    self._say(
                        {
                            "issuer": provider.issuer,
                            "authorization_endpoint": f"{provider.issuer}/authorize",
                            "token_endpoint": f"{provider.issuer}/token",
                            "userinfo_endpoint": f"{provider.issuer}/userinfo",
                            "jwks_uri": f"{provider.issuer}/keys",
                            "token_endpoint_auth_methods_supported": ["client_secret_post"],
                        }
                    )
                elif self.path == "/userinfo" and self.headers["Authorization"] == "Bearer of-the-provider":
                    self._say(provider.claims)
                else:
                    self.send_error(404)

            def do_POST(self) -> None:
                body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                verifier = hashlib.sha256(body["code_verifier"][0].encode()).digest()
                challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
                known = provider.codes.pop(body["code"][0], None) == challenge
                if known and body["client_secret"] == ["the-clients-secret"]:
                    self._say({"access_token": "of-the-provider", "token_type": "Bearer", "expires_in": 60})
                else:
                    self.send_error(400)

            def _say(self, content: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
