"""Backtests over the API: asked for here, carried out by a job, read here when they are done."""

from datetime import datetime, timedelta
from typing import Any

import redis
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from kombu.exceptions import OperationalError
from ninja import Router, Schema, Status
from ninja.errors import HttpError
from pydantic import ConfigDict

from control.api import limits
from control.api.auth import EVERY_BOARD, check_may_read, user_of
from control.api.problems import Problem
from control.models import Backtest, Scanner
from control.roles import check

router = Router()

_PAGE = 100
# Each takes up to a minute of one jobs worker.
_MOST_WAITING = 5


class Wish(Schema):
    """A recording's name, and the scanners to play it through, or a condition that is none yet.

    Without either these are the enabled ones that give alerts.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"recording": "2026-03-02.ndjson.zst", "scanners": ["small_cap_hod_momo"]}},
    )

    recording: str
    scanners: list[str] = []
    where: str = ""


class BacktestSummary(Wish):
    """How far a backtest is: `queued`, `running`, `done` or `failed`, and then why."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={})

    id: int
    state: str
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class BacktestOut(BacktestSummary):
    """A backtest with what it found: every alert, and a summary."""

    result: dict[str, Any] | None


@router.get("", response=list[BacktestSummary])
def list_backtests(request: HttpRequest) -> Any:
    """Your last hundred, newest first."""
    return Backtest.objects.filter(user=user_of(request)).defer("result")[:_PAGE]


@router.post("", response={202: BacktestSummary, 403: Problem, 409: Problem, 422: Problem})
def create_backtest(request: HttpRequest, body: Wish) -> Any:
    """Ask for a backtest, as who may read every board. Read it until its state is `done` or `failed`."""
    from control.backtests import asked_scanners, recording_path  # polars: only where it is needed
    from processors.backtesting.backtest import BacktestError
    from processors.jobs import run_backtest
    from processors.scanning.scan import problems

    check(user_of(request), "control.add_backtest")
    limits.count_user(request, limits.BACKTESTS)
    check_may_read(request, EVERY_BOARD)
    user = user_of(request)
    backtest = Backtest(user=user, **body.model_dump())
    backtest.full_clean()
    errors = {name: str(error) for name, error in problems(body.where, "price").items()}
    try:
        recording_path(body.recording)
    except BacktestError as error:
        errors["recording"] = str(error)
    try:
        if body.scanners or not body.where:
            asked_scanners(body.scanners, Scanner.objects.visible_to(user))
    except BacktestError as error:
        errors["scanners"] = str(error)
    if errors:
        raise ValidationError(errors)
    unfinished = Backtest.objects.filter(user=user, state__in=(Backtest.State.QUEUED, Backtest.State.RUNNING))
    # What a worker that was killed left behind does not count for ever.
    if unfinished.filter(created_at__gt=timezone.now() - timedelta(hours=1)).count() >= _MOST_WAITING:
        raise HttpError(409, f"{_MOST_WAITING} of your backtests are not finished; wait for one of them.")
    backtest.save()
    try:
        run_backtest.apply_async((backtest.pk,), retry=False)
    except (OperationalError, redis.RedisError):
        backtest.delete()
        raise HttpError(503, "The broker cannot be reached; try again.") from None
    return Status(202, backtest)


@router.get("/{backtest_id}", response={200: BacktestOut, 403: Problem, 404: Problem})
def read_backtest(request: HttpRequest, backtest_id: int) -> Any:
    """One backtest with what it found, for who may read every board."""
    check_may_read(request, EVERY_BOARD)
    return get_object_or_404(Backtest, user=user_of(request), pk=backtest_id)
