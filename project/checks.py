"""What `manage.py check` says about the configuration; every command runs it before it starts."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AMQPError
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from kombu.exceptions import OperationalError

from project import env, queues


@register("tapewatch")
def check_environment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """An error for each variable that could not be used, by name and with what it should look like."""
    return [
        Error(f"{problem.name}: {problem.message}", hint=problem.hint, id="tapewatch.E001") for problem in env.PROBLEMS
    ]


@register("tapewatch")
def check_feed(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The feed's name, and a key that would leave the machine in the clear."""
    messages: list[CheckMessage] = []
    feed = settings.MASSIVE_FEED
    if not env.names_a_feed(feed):
        messages.append(
            Error(
                f"MASSIVE_FEED: {feed!r} names no feed",
                hint="It should be real-time, delayed, or an address such as 127.0.0.1:8765.",
                id="tapewatch.E002",
            )
        )
    elif feed in {"real-time", "delayed"} and not settings.MASSIVE_API_KEY:
        messages.append(
            Error(
                f"MASSIVE_FEED is {feed}, which needs a key, and MASSIVE_API_KEY is not set",
                hint="Set MASSIVE_API_KEY, or unset MASSIVE_FEED to use the simulator.",
                id="tapewatch.E003",
            )
        )
    local = feed.rpartition(":")[0] in {"127.0.0.1", "localhost", "[::1]"}
    if settings.MASSIVE_API_KEY and not settings.MASSIVE_SECURE and not local:
        messages.append(
            Warning(
                "MASSIVE_SECURE is off: the key would cross the network in the clear",
                hint="Remove MASSIVE_SECURE from the environment.",
                id="tapewatch.W001",
            )
        )
    return messages


@register("tapewatch")
def check_single_sign_on(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Single sign-on that lacks what the provider gave us, or would cross the network in the clear."""
    if not settings.OIDC_ISSUER:
        return []
    messages: list[CheckMessage] = []
    if not settings.OIDC_CLIENT_ID or not settings.OIDC_CLIENT_SECRET:
        messages.append(
            Error(
                "OIDC_ISSUER is set, and OIDC_CLIENT_ID or OIDC_CLIENT_SECRET is not",
                hint="Set all three, as the provider shows them for the client that you made there.",
                id="tapewatch.E004",
            )
        )
    issuer = urlsplit(settings.OIDC_ISSUER)
    if issuer.scheme != "https" and issuer.hostname not in {"127.0.0.1", "localhost", "::1"}:
        messages.append(
            Warning(
                "OIDC_ISSUER does not begin with https: whoever is between could come in as anybody",
                hint="Use the provider's https address.",
                id="tapewatch.W004",
            )
        )
    return messages


@register("queues")
def check_queues(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A warning of queues that exist with other settings: nothing can be published to them or taken from them."""
    if settings.BROKER_IS_REDIS or env.PROBLEMS:
        return []
    try:
        found = queues.differences(settings.CELERY_BROKER_URL, settings.MESSAGE_TTL_MS)
    except (OperationalError, OSError):
        # Whether the broker runs at this moment is no matter of configuration.
        return []
    except AMQPError as error:
        return [
            Warning(
                f"CELERY_BROKER_URL: the broker refuses us ({error.reply_text})",
                hint="Look at the address's user, password and virtual host.",
                id="tapewatch.W003",
            )
        ]
    if not found:
        return []
    (_, sentence), *others = found.items()
    also = f" The same goes for {', '.join(name for name, _ in others)}." if others else ""
    return [Warning(sentence + also, id="tapewatch.W002")]
