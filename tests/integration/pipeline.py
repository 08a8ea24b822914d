"""The system's parts as processes over a private broker and cache, for tests that follow events through all of them."""

import json
import shutil
import socket
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from time import time
from typing import Any

import redis
from django.conf import settings

from processors.accounts import SETTLED_TERMS, accounts
from processors.store import Store
from project.embedded import EmbeddedValkey
from project.processes import free_port
from project.queues import FEED_WORKER_QUEUES, SCANS
from tests.services import Part, environment, manage, python, wait_until


class Pipeline:
    """A feed's recording on its way into a private cache, with each part a process of its own.

    Attributes:
        parts: The processes, by the names that they were started under.
    """

    # The migrated database that others are copies of.
    _migrated = settings.RUN_DIR / "migrated.sqlite3"

    def __init__(self, stack: ExitStack, folder: Path, valkey: EmbeddedValkey, broker: str | None) -> None:
        self._stack, self._folder = stack, folder
        self._database = folder / "tapewatch.sqlite3"
        self.parts: dict[str, Part] = {}
        self.port = free_port()
        variables = {"REDIS_URL": valkey.url, "MASSIVE_FEED": f"127.0.0.1:{self.port}", "MASSIVE_SECURE": "0"}
        if broker is not None:
            variables["CELERY_BROKER_URL"] = broker
        self.env = dict(environment(folder, **variables))
        self.store = Store(redis.Redis.from_url(valkey.url))
        self._ttl_ms = settings.MESSAGE_TTL_MS

    def start(self, name: str, *arguments: str, **variables: str) -> Part:
        """Start a process of the project; `variables` are of its environment alone."""
        log = self._folder / f"{name}.log"
        part = self._stack.enter_context(python(*arguments, env=self.env | variables, log=log))
        self.parts[name] = part
        return part

    def stop(self) -> None:
        """Tell every part to end, all at once: each takes seconds."""
        for part in self.parts.values():
            if part.process.poll() is None:
                part.process.terminate()

    def _celery_worker(self, name: str, queues: str) -> Part:
        return self.start(
            name,
            *(
                "-m",
                "celery",
                "-A",
                "project",
                "worker",
                "--pool",
                "solo",
                "-Q",
                queues,
                "-n",
                f"{name}-{self.port}@%h",
            ),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"),
        )

    def worker(self, number: int) -> Part:
        """Start a feed worker."""
        return self._celery_worker(f"feed{number}", ",".join(FEED_WORKER_QUEUES))

    def engine(self) -> Part:
        """Start what ranks the boards, and what makes it tick."""
        worker = self._celery_worker("scans", SCANS)
        self.start("beat", *("-m", "celery", "-A", "project", "beat", "--scheduler", "celery.beat.Scheduler"))
        return worker

    def web(self, **variables: str) -> int:
        """Start the web server; its port, when it answers."""
        port = free_port()
        self.start("web", "-m", "project.server", "--port", str(port), **variables)
        wait_until(lambda: answers(port), 60, "the web server's first answer")
        return port

    def bench_feed(self, rate: int, seconds: int) -> Part:
        """Start a feed of frames made ahead, which leaves the cores to the others; listeners started later take it."""
        part = self.start(
            "feed",
            *("-m", "control.bench.feed_server", "--rate", str(rate), "--seconds", str(seconds), "--warm-up", "0"),
            *("--feeds", "mix", "--symbols", "8000"),
        )
        part.wait_for('"listening"', 30)
        self.env["MASSIVE_FEED"] = str(json.loads(part.output.splitlines()[0])["address"])
        return part

    def migrate(self) -> None:
        """Make the database: a copy of one that is made once, which takes as long as a start of the system."""
        if not Pipeline._migrated.exists():
            self.manage("migrate", "-v", "0")
            with closing(sqlite3.connect(self._database)) as database:
                database.execute("VACUUM INTO ?", (str(Pipeline._migrated),))
            return
        shutil.copy(Pipeline._migrated, self._database)

    def manage(self, command: str, *arguments: str) -> str:
        """Run a management command to its end; what it printed."""
        done = manage(command, *arguments, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stats(self) -> dict[str, Any]:
        """What `manage.py stats --json` prints."""
        stats: dict[str, Any] = json.loads(self.manage("stats", "--json"))
        return stats

    def accounts(self, later_s: float = 0.0) -> dict[str, dict[str, int]]:
        """The accounts by feed; `later_s` seconds ahead of the clock, what is in flight is lost already."""
        source = self.store.source()
        return accounts(self.store, source.id if source else "", self._ttl_ms, time() + later_s)

    def settled(self) -> int:
        """Events that the workers are done with."""
        return sum(terms[term] for terms in self.accounts().values() for term in SETTLED_TERMS)


def answers(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def assert_balanced(stats: dict[str, Any]) -> None:
    """Both equations of the accounts, written out once more."""
    for feed, terms in stats["feeds"].items():
        listener = terms["malformed"] + terms["dropped"] + terms["buffered"] + terms["published"]
        assert terms["received"] == listener, feed
        ends = ("processed", "expired_broker", "expired_worker", "expired_age", "overflowed", "failed", "lost")
        assert terms["published"] == sum(terms[term] for term in (*ends, "in_flight")), feed
