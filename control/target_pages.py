"""The page of one's own notification targets: where the alerts of one's scanners and price levels go."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from ninja.errors import Throttled

from control.api import limits
from control.models import NotificationTarget
from control.notifications.addresses import shown
from control.notifications.delivering import send_test
from control.roles import check

_MOST: Final = 20


class NewTarget(forms.Form):
    """What scanners name it by, and its address."""

    name = forms.CharField(label="Name", max_length=100, help_text="Scanners and price levels name it so.")
    url = forms.CharField(
        label="Address",
        max_length=2_000,
        help_text="Of apprise, such as tgram://TOKEN/CHAT, mailtos://USER:PASSWORD@HOST, discord://ID/TOKEN, or the "
        "https address of a webhook. It is encrypted, and never shown again.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def targets(request: HttpRequest) -> HttpResponse:
    """One's notification targets, and a new one."""
    user = _user(request, "view")
    form = NewTarget(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        check(user, "control.add_notificationtarget")
        target = NotificationTarget(owner=user, **form.cleaned_data)
        if problem := _problem(target):
            form.add_error(None, problem)
        else:
            target.save()
            messages.success(request, f"Added {target}. Send a test to see that it arrives.")
            return redirect("account_targets")
    rows = [(target, shown(target.url)) for target in NotificationTarget.objects.filter(owner=user)]
    content: dict[str, Any] = {"rows": rows, "form": form, "may_add": user.has_perm("control.add_notificationtarget")}
    return render(request, "account/targets.html", content, status=422 if form.is_bound else 200)


@require_POST
@login_required
def change_target(request: HttpRequest, target_id: int) -> HttpResponse:
    """Test one of one's own targets, switch it on or off, or remove it, as `do` says."""
    doing = request.POST.get("do")
    user = _user(request, "delete" if doing == "remove" else "change")
    target = get_object_or_404(NotificationTarget, owner=user, pk=target_id)
    if doing == "remove":
        target.delete()
        messages.success(request, f"Removed {target}.")
    elif doing in {"on", "off"}:
        target.enabled = doing == "on"
        target.save(update_fields=["enabled"])
        messages.success(request, f"{target} is {doing}.")
    else:
        _test(request, user, target)
    return redirect("account_targets")


def _test(request: HttpRequest, user: User, target: NotificationTarget) -> None:
    try:
        limits.count(request, limits.NOTIFICATION_TESTS, f"user:{user.pk}")
    except Throttled:
        messages.error(request, "That were many tests: wait a minute.")
        return
    if error := send_test(target):
        messages.error(request, f"The test did not arrive: {error}")
    else:
        messages.success(request, f"The test was delivered to {target}.")


def _problem(target: NotificationTarget) -> ValidationError | str:
    if NotificationTarget.objects.filter(owner=target.owner).count() >= _MOST:
        return f"You have {_MOST} targets: remove one first."
    try:
        target.full_clean()
    except ValidationError as error:
        return error
    return ""


def _user(request: HttpRequest, doing: str) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    check(request.user, f"control.{doing}_notificationtarget")
    return request.user
