"""Which processes `up` runs, and with which commands."""

import sys
from dataclasses import dataclass
from pathlib import Path

from control.supervisor import ProcessSpec
from project import queues

# Django's and Celery's log lines go out at once, whole, and in UTF-8.
_PYTHON = (sys.executable, "-X", "utf8", "-u")
# Celery warns root of pickled messages, which this project's workers do not accept.
_QUIET = ("-W", "ignore::UserWarning:celery.platforms")
# At most and at least: a long job and the short ones beside it; more while work waits.
JOBS_PROCESSES = "4,2"


@dataclass(frozen=True)
class Wish:
    """What to run.

    Attributes:
        base: The project's folder, with `manage.py`.
        workers: Feed workers to begin with; one a core is enough.
        web: Web processes; they share the socket `web_fd`.
        web_fd: A listening socket's file descriptor.
        feed_port: The port for a feed of our own; None when the feed is elsewhere (Massive).
        recording: Replay this file instead of simulating.
        speed: Of the simulator's or recording's clock, as a multiple of real time; 0 is as fast as it can be read.
        simulator: Further options for the simulator, as its command takes them.
    """

    base: Path
    workers: int
    web: int
    web_fd: int
    feed_port: int | None
    recording: Path | None = None
    speed: float = 1.0
    simulator: tuple[str, ...] = ()

    @property
    def lossless(self) -> bool:
        """Whether completeness goes before freshness (design rule 7)."""
        return self.recording is not None and self.speed == 0


def feed_environment(wish: Wish) -> dict[str, str]:
    """What the other processes need to know of the feed that runs beside them."""
    if wish.feed_port is None:
        return {}
    return {
        "MASSIVE_FEED": f"127.0.0.1:{wish.feed_port}",
        "MASSIVE_SECURE": "0",
        # A vendor's key is nothing for a feed of our own; set but empty, `.env` does not bring it back.
        "MASSIVE_API_KEY": "",
        "POLYGON_API_KEY": "",
        "MASSIVE_REST_URL": "",
        "TRADE_HALTS_URL": "",
    }


def sources(wish: Wish) -> list[ProcessSpec]:
    """The two ends, which take longest to start: the feed, and the page that people wait for."""
    return [*([_feed(wish, wish.feed_port)] if wish.feed_port is not None else []), _web(wish, 1)]


def way(wish: Wish) -> list[ProcessSpec]:
    """The shortest way from one end to the other: these make the table move."""
    # A feed of our own is this one, whatever the settings say.
    feed = () if wish.feed_port is None else ("--feed", f"127.0.0.1:{wish.feed_port}")
    listen = _manage(wish, "listener", "listen", *feed, *(("--lossless",) if wish.lossless else ()))
    return [listen, feed_worker(wish, 1), _scans(wish), _beat(wish)]


def rest(wish: Wish) -> list[ProcessSpec]:
    """What the first row can do without, and need not share the cores with."""
    return [
        _jobs(wish),
        *(feed_worker(wish, number) for number in range(2, wish.workers + 1)),
        *(_web(wish, number) for number in range(2, wish.web + 1)),
    ]


def feed_worker(wish: Wish, number: int) -> ProcessSpec:
    """One of the workers that merge batches; they differ in nothing but their numbers, which count from 1."""
    return _worker(wish, feed_worker_name(number), *("--pool", "solo", "-Q", ",".join(queues.FEED_WORKER_QUEUES)))


def feed_worker_name(number: int) -> str:
    """What `up` calls it."""
    return f"feed{number}"


def _feed(wish: Wish, port: int) -> ProcessSpec:
    common = ("--port", str(port), "--speed", f"{wish.speed:g}")
    if wish.recording is not None:
        return _manage(wish, "replay", "replay", str(wish.recording), *common, ends=True)
    return _manage(wish, "simulate", "simulate", *common, *wish.simulator)


def _manage(wish: Wish, name: str, command: str, *arguments: str, ends: bool = False) -> ProcessSpec:
    return _python(wish, name, str(wish.base / "manage.py"), command, *arguments, ends=ends)


def _web(wish: Wish, number: int) -> ProcessSpec:
    name = "web" if wish.web == 1 else f"web{number}"
    return _python(wish, name, "-m", "project.server", "--fd", str(wish.web_fd), pass_fds=(wish.web_fd,))


def _scans(wish: Wish) -> ProcessSpec:
    return _worker(wish, "scans", "--pool", "solo", "-Q", queues.SCANS)


def _jobs(wish: Wish) -> ProcessSpec:
    return _worker(wish, "jobs", "--pool", "prefork", "--autoscale", JOBS_PROCESSES, "-Q", queues.JOBS)


def _beat(wish: Wish) -> ProcessSpec:
    # The plain scheduler keeps no file: what is due each second needs no memory of the last run.
    return _celery(wish, "beat", "beat", "--scheduler", "celery.beat.Scheduler", "--loglevel", "INFO")


def _worker(wish: Wish, name: str, *options: str) -> ProcessSpec:
    # A node name belongs to one start: under an old one RabbitMQ may still hold the control queue.
    node = ("-n", f"{name}-{{start}}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat")
    return _celery(wish, name, "worker", *options, *node, "--loglevel", "INFO")


def _celery(wish: Wish, name: str, *arguments: str) -> ProcessSpec:
    # `up` has run Django's checks already; four times more would cost a second of the start.
    return _python(wish, name, *_QUIET, "-m", "celery", "-A", "project", "-q", "--skip-checks", *arguments)


def _python(wish: Wish, name: str, *arguments: str, ends: bool = False, pass_fds: tuple[int, ...] = ()) -> ProcessSpec:
    return ProcessSpec(
        name,
        (*_PYTHON, *arguments),
        environment={**feed_environment(wish), "TAPEWATCH_PART": name},
        folder=str(wish.base),
        pass_fds=pass_fds,
        ends=ends,
    )
