"""The Celery application: broker, serializers, queues and the beat's schedule."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from project import queues
from project.batch_serializer import register_batch_serializer
from project.broker import PromptAMQP

register_batch_serializer()


def _every(seconds: float, task: str, queue: str = queues.JOBS) -> dict[str, Any]:
    """An entry of the beat's schedule. Its message dies at the next tick: a late scan, say, is worthless."""
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": seconds}}


app = Celery("tapewatch", amqp=PromptAMQP)
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Looked at so often in one interval of a minute: in between, an idle worker's event loop sees no signal to end.
    broker_heartbeat_checkrate=60,
    # For AMQP: a publish returns when the broker has taken the message. For Redis: the time after which a batch of a
    # killed worker is handed out again, an hour by default.
    broker_transport_options=(
        {
            "visibility_timeout": 15,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "global_keyprefix": "broker:",
            "socket_timeout": 10,
            "socket_keepalive": True,
        }
        if settings.BROKER_IS_REDIS
        else {"confirm_publish": True, "connect_timeout": 5}
    ),
    task_queues=queues.all_queues(settings.MESSAGE_TTL_MS),
    task_create_missing_queues=False,
    task_default_queue=queues.JOBS,
    task_default_delivery_mode="transient",
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json", "application/x-tapewatch-batch"],
    worker_prefetch_multiplier=4,
    worker_autoscaler="processors.components.pool:PatientAutoscaler",
    worker_pool_restarts=True,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    timezone="UTC",
    enable_utc=True,
    beat_schedule={
        "scan": _every(0.25, "processors.tasks.scan_tick", queues.SCANS),
        "reference": _every(15.0, "processors.jobs.refresh_reference"),
        "seed": _every(5.0, "processors.jobs.seed_day"),
        "profile": _every(60.0, "processors.jobs.record_volume_profile"),
        "alerts": _every(1.0, "processors.jobs.store_alerts"),
        "notifications": _every(1.0, "processors.jobs.deliver_notifications"),
        "audit": _every(3_600.0, "processors.jobs.forget_audit"),
        "deliveries": _every(3_600.0, "processors.jobs.forget_deliveries"),
    },
)
app.autodiscover_tasks(["processors"])
app.autodiscover_tasks(["processors"], related_name="jobs")
# What the processes of Celery say of themselves, and what they can be told.
app.autodiscover_tasks(["processors.components"], related_name="celery_agents")


@setup_logging.connect
def _keep_django_logging(**kwargs: Any) -> None:
    """A receiver of this signal keeps Celery from replacing the logging that Django has set up."""


if not settings.BROKER_IS_REDIS:
    from processors.dead_letters import DeadLetterStep

    app.steps["consumer"].add(DeadLetterStep)
