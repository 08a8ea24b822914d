"""A text that is encrypted in the database: for what has to be read back and is nobody's to see."""

import base64
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models


class Undecipherable(Exception):
    """A stored secret was encrypted with a key that is not set any more."""


class SecretTextField(models.TextField):  # type: ignore[type-arg]  # generic in the stubs alone
    """A text kept encrypted (Fernet), with keys derived from `SECRET_KEY` and `SECRET_KEY_FALLBACKS`."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt, with the first key."""
        text = super().get_prep_value(value)
        return None if text is None else encrypted(text)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt, with whichever key fits; "" when none does, so that the row can still be listed and mended."""
        if value is None:
            return None
        try:
            return decrypted(value)
        except Undecipherable:
            return ""


def encrypted(text: str) -> str:
    """A secret as it is stored."""
    return _cipher().encrypt(text.encode()).decode()


def decrypted(value: str) -> str:
    """The text of a stored secret.

    Raises:
        Undecipherable: No key fits.
    """
    try:
        return _cipher().decrypt(value.encode()).decode()
    except InvalidToken as error:
        raise Undecipherable(
            "It was encrypted with another SECRET_KEY: set that one in SECRET_KEY_FALLBACKS, or enter the secret anew."
        ) from error


def _cipher() -> MultiFernet:
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_key_of(secret))) for secret in secrets])


def _key_of(secret: str) -> bytes:
    # RFC 5869. The info keeps this key apart from whatever else SECRET_KEY signs.
    return HKDF(SHA256(), length=32, salt=None, info=b"tapewatch.secret-text").derive(secret.encode())
