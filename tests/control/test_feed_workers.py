"""How many feed workers are wanted."""

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from control.feed_workers import FeedWorkers
from control.models import FeedSettings
from control.roster import Wish
from control.supervisor import Supervisor

pytestmark = pytest.mark.django_db


def _workers(workers: int) -> FeedWorkers:
    return FeedWorkers(Supervisor(), Wish(Path(), workers, web=1, web_fd=-1, feed_port=None))


@pytest.mark.parametrize("count", [1, 2, 64])
def test_the_setting_counts(count: int) -> None:
    FeedSettings.objects.update(feed_workers=count)
    FeedSettings.objects.get().full_clean()
    assert _workers(3).wanted() == count


def test_without_a_setting_it_is_as_up_was_started() -> None:
    assert _workers(3).wanted() == 3
    FeedSettings.objects.all().delete()
    assert _workers(3).wanted() == 3


@pytest.mark.parametrize(("count", "used"), [(0, 1), (65, 64), (30_000, 64)])
def test_a_count_that_makes_no_sense_is_refused_and_never_followed(count: int, used: int) -> None:
    row = FeedSettings.objects.get()
    row.feed_workers = count
    with pytest.raises(ValidationError) as raised:
        row.full_clean()
    assert raised.value.message_dict.keys() == {"feed_workers"}
    FeedSettings.objects.update(feed_workers=count)
    assert _workers(3).wanted() == used


def test_settings_that_cannot_be_read_leave_the_last_count_standing() -> None:
    workers = _workers(3)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE control_feedsettings RENAME TO elsewhere")
    assert workers.wanted() == 3
