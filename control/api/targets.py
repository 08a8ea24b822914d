"""Notification targets over the API: each user's own, and for administrators the common ones."""

from typing import Any, Final

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import PatchDict, Router, Schema, Status
from ninja.errors import HttpError
from pydantic import ConfigDict

from control import roles
from control.api import limits
from control.api.auth import user_of
from control.api.changing import save_changes
from control.api.problems import Problem
from control.models import NotificationTarget
from control.notifications.addresses import shown
from control.notifications.delivering import send_test

router = Router()

_MOST: Final = 20


class Target(Schema):
    """Where alerts go. `url` is an address of apprise, or the https address of a webhook that takes JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"name": "phone", "url": "tgram://123456789:AbCdEf/987654321", "enabled": True}},
    )

    name: str
    url: str
    enabled: bool = True


class TargetOut(Schema):
    """A target as it is; of its address no more than the service is told, and the host of a webhook.

    `common` targets are those of the scanners of everyone; administrators change them.
    """

    id: int
    name: str
    service: str
    enabled: bool
    common: bool
    last_sent_at: Any = None
    last_error: str

    @staticmethod
    def resolve_service(target: NotificationTarget) -> str:
        """The service's name."""
        return shown(target.url)

    @staticmethod
    def resolve_common(target: NotificationTarget) -> bool:
        """Whether it is nobody's own."""
        return target.owner_id is None


class Tested(Schema):
    """What came of a test: whether it was taken, and if not, why."""

    delivered: bool
    error: str


@router.get("", response=list[TargetOut])
def list_targets(request: HttpRequest) -> Any:
    """Your notification targets."""
    return _visible(user_of(request))


@router.post("", response={201: TargetOut, 403: Problem, 409: Problem, 422: Problem})
def create_target(request: HttpRequest, body: Target, common: bool = False) -> Any:
    """Add a target; scanners and price levels name it in `notify`. With `common` it is one for everyone's scanners."""
    user = user_of(request)
    roles.check(user, "control.add_notificationtarget")
    if common:
        _check_common(user)
    owner = None if common else user
    if NotificationTarget.objects.filter(owner=owner).count() >= _MOST:
        raise HttpError(409, f"There are {_MOST} targets; remove one first.")
    target = NotificationTarget(owner=owner, **body.model_dump())
    target.full_clean()
    target.save()
    return Status(201, target)


@router.patch("/{target_id}", response={200: TargetOut, 403: Problem, 404: Problem, 422: Problem})
def change_target(request: HttpRequest, target_id: int, body: PatchDict[Target]) -> Any:
    """Change what is named, and nothing else."""
    return save_changes(_changeable(request, target_id, "change"), body)


@router.delete("/{target_id}", response={204: None, 403: Problem, 404: Problem})
def delete_target(request: HttpRequest, target_id: int) -> Any:
    """Remove a target; what still waits for it is not sent."""
    _changeable(request, target_id, "delete").delete()
    return Status(204, None)


@router.post("/{target_id}/test", response={200: Tested, 403: Problem, 404: Problem, 429: Problem})
def test_target(request: HttpRequest, target_id: int) -> Any:
    """Send a test now, and say what came of it."""
    target = _changeable(request, target_id, "change")
    limits.count_user(request, limits.NOTIFICATION_TESTS)
    error = send_test(target)
    return Tested(delivered=not error, error=error)


def _visible(user: User) -> QuerySet[NotificationTarget]:
    mine = Q(owner=user)
    return NotificationTarget.objects.filter(mine | Q(owner__isnull=True) if roles.manages_others(user) else mine)


def _changeable(request: HttpRequest, target_id: int, doing: str) -> NotificationTarget:
    user = user_of(request)
    target = get_object_or_404(_visible(user), pk=target_id)
    roles.check(user, f"control.{doing}_notificationtarget")
    if target.owner_id is None:
        _check_common(user)
    return target


def _check_common(user: User) -> None:
    if not roles.manages_others(user):
        raise PermissionDenied("Targets of everyone's scanners are for administrators.")
