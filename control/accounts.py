"""How accounts come to be: by an administrator, never by signing up."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class ClosedSignupAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # the library ships no types
    """allauth's behaviour, without sign-up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether a stranger may make an account: no."""
        return False
