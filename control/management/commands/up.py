"""`manage.py up`: everything in one terminal."""

import argparse
import asyncio
import gc
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from control import roster, startup
from control.feed_workers import FeedWorkers
from control.supervisor import ProcessSpec, Supervisor
from control.up_agent import UpAgent
from project import env, frontend
from project.embedded import EmbeddedValkey
from project.processes import ServiceUnavailable

_READY_SECONDS = 120.0
_FEED_SECONDS = 8.0
# Until the others have started, on two cores.
_REST_AFTER_SECONDS = 3.0
# One a core; more than two carry what no feed sends.
_FEED_WORKERS = min(os.cpu_count() or 1, 2)


@dataclass(frozen=True)
class Prepared:
    """Everything is checked and in place.

    Attributes:
        wish: What to run.
        valkey: The cache to run beside it; None when another is used.
        banner: What to say when the page answers, line by line.
        probe: The address to ask whether it does.
    """

    wish: roster.Wish
    valkey: EmbeddedValkey | None
    banner: tuple[str, ...]
    probe: str


class Command(BaseCommand):
    help = "Run everything in one terminal: feed, listener, workers, scanner, web. Ctrl-C stops it."
    # Of the checks only those of the configuration matter here; others expect the front end to be built already.
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--recording", type=Path, metavar="FILE", help="replay this recording")
        parser.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="clock of feed, times real time (1)")
        parser.add_argument(
            "--workers",
            type=_count,
            default=_FEED_WORKERS,
            metavar="N",
            help=f"feed workers, unless the feed settings say how many ({_FEED_WORKERS})",
        )
        parser.add_argument("--web", type=_count, default=1, metavar="N", help="web processes (1)")
        parser.add_argument("--host", default="127.0.0.1", help="address the web listens on (127.0.0.1)")
        parser.add_argument("--port", type=_port, default=8000, help="port the web listens on (8000); 0: any free one")
        simulator = parser.add_argument_group("the simulator's market, when there is no key and no recording")
        simulator.add_argument("--seed", metavar="N", help="same seed, same market")
        simulator.add_argument("--symbols", metavar="N", help="number of symbols")
        simulator.add_argument("--start", metavar="TIME", help="New York time its clock starts at, 'YYYY-MM-DD HH:MM'")
        simulator.add_argument("--rate", metavar="N", help="events a second in the middle of the day")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ExitStack() as stack:
                prepared = self._prepare(stack, options)
                asyncio.run(self._run(prepared))
            # Nobody waits in the terminal until all that was imported has been gone through once more.
            gc.freeze()
        except (startup.CannotStart, ServiceUnavailable, frontend.BuildError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped before it ran", returncode=130) from None

    def _prepare(self, stack: ExitStack, options: dict[str, Any]) -> Prepared:
        recording = startup.check_recording(options["recording"]) if options["recording"] is not None else None
        if recording is None and options["speed"] == 0:
            raise CommandError("--speed 0 (as fast as it can be read) needs a --recording.")
        simulator = _simulator_options(options)
        web = stack.enter_context(startup.listening_socket(options["host"], options["port"]))
        stack.enter_context(startup.only_one(settings.RUN_DIR))
        # The parts run in the project's folder, whatever the current one is.
        os.environ["TAPEWATCH_RUN_DIR"] = str(settings.RUN_DIR.resolve())
        env_file = Path(env.text("TAPEWATCH_ENV_FILE", str(env.BASE_DIR / ".env"))).resolve()
        key = startup.ensure_secret_key(env_file)
        if key is not None:
            settings.SECRET_KEY = key
            self.stdout.write(f"Wrote a new SECRET_KEY to {env_file}.")
        if not settings.EMBEDDED_VALKEY:
            startup.check_cache(settings.REDIS_URL)
        if not settings.BROKER_IS_REDIS:
            for name in startup.declare_queues(settings.CELERY_BROKER_URL, settings.MESSAGE_TTL_MS):
                self.stdout.write(f"The queue {name} had other settings; it was declared anew.")
        if startup.migrate():
            self.stdout.write("Brought the database up to date.")
        name, password = startup.first_administrator()
        connections.close_all()
        if not frontend.is_current():
            self.stdout.write("Building the front end ...")
            frontend.build()
        wish = roster.Wish(
            base=settings.BASE_DIR,
            workers=options["workers"],
            web=options["web"],
            web_fd=web.fileno(),
            feed_port=_feed_port(recording),
            recording=recording,
            speed=options["speed"],
            simulator=simulator,
        )
        valkey = None
        if settings.EMBEDDED_VALKEY:
            valkey = EmbeddedValkey(settings.VALKEY_SOCKET, settings.RUN_DIR / "valkey")
            valkey.prepare()
        page = _page(web)
        return Prepared(wish, valkey, _banner(wish, page, name, password), f"{page}healthz")

    async def _run(self, prepared: Prepared) -> None:
        async with Supervisor(self.stdout, changed=lambda: agent.report_now()) as supervisor:
            crew = FeedWorkers(supervisor, prepared.wish)
            up = UpAgent(supervisor, crew, asyncio.get_running_loop())
            agent = up.agent
            stopped = asyncio.create_task(supervisor.stop_requested())
            running = asyncio.create_task(self._bring_up(supervisor, crew, prepared))
            agent.start()
            await asyncio.wait((stopped, running), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                # An error while coming up ends it all; otherwise it runs until somebody stops it.
                running.result()
                await stopped
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            supervisor.say("up", "stopping")
            # While there is still a cache to say goodbye to.
            await asyncio.to_thread(agent.stop)
        if prepared.valkey is None:
            with suppress(redis.RedisError):
                await asyncio.to_thread(up.forget_the_dead)
        self.stdout.write("Everything has stopped.")

    async def _bring_up(self, supervisor: Supervisor, crew: FeedWorkers, prepared: Prepared) -> None:
        if prepared.valkey is not None:
            valkey = prepared.valkey
            supervisor.start([ProcessSpec("valkey", valkey.command(), valkey.environment, stops_last=True)])
            if not await _within(_READY_SECONDS, valkey.ready, every=0.02):
                raise ServiceUnavailable("The embedded Valkey does not start: see its lines above.")
        wish = prepared.wish
        supervisor.start(roster.sources(wish))
        if wish.feed_port is not None:
            # Whoever finds no feed tries again only after a pause. If there is none at all, its lines say why.
            await _within(_FEED_SECONDS, lambda: _answers(f"http://127.0.0.1:{wish.feed_port}/"), every=0.1)
        supervisor.start(roster.way(wish))
        if not await _within(_READY_SECONDS, lambda: _answers(prepared.probe), every=0.2):
            supervisor.say("up", "the page does not answer: see the lines of web")
        for line in prepared.banner:
            supervisor.say("up", line)
        await asyncio.sleep(_REST_AFTER_SECONDS)
        supervisor.start(roster.rest(replace(wish, workers=1)))
        await crew.keep()


async def _within(seconds: float, condition: Callable[[], bool], every: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await asyncio.to_thread(condition):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(every)
    return True


def _feed_port(recording: Path | None) -> int | None:
    """The port for a feed of our own, or None when the configured one is used."""
    if recording is None and (settings.MASSIVE_API_KEY or env.text("MASSIVE_FEED")):
        return None
    return startup.feed_port(int(settings.SIMULATOR_HOST_PORT.rpartition(":")[2]))


def _simulator_options(options: dict[str, Any]) -> tuple[str, ...]:
    """The simulator's options as given; checked here, because in a process of its own it would fail again and again."""
    given = {name: options[name] for name in ("seed", "symbols", "start", "rate") if options[name] is not None}
    if not given:
        return ()
    if options["recording"] is not None:
        raise CommandError(f"--{next(iter(given))} is for the simulator; a --recording has its own.")
    # Imported only now: the exchange's calendar takes a second of the start.
    from listener.simulator.options import BadOption, number, starting_instant, whole_number
    from listener.simulator.universe import MAX_SYMBOLS

    try:
        whole_number("--seed", given.get("seed", "0"), 0, 2**63 - 1)
        whole_number("--symbols", given.get("symbols", "1"), 1, MAX_SYMBOLS)
        number("--rate", given.get("rate", "1"), 1, 1_000_000)
        starting_instant(given.get("start"), timezone.now())
    except BadOption as error:
        raise CommandError(f"{error}.") from error
    return tuple(word for name, value in given.items() for word in (f"--{name}", value))


def _page(web: socket.socket) -> str:
    host, port = web.getsockname()[:2]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{here}]:{port}/" if ":" in here else f"http://{here}:{port}/"


def _banner(wish: roster.Wish, page: str, name: str, password: str | None) -> tuple[str, ...]:
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    if wish.recording is not None:
        pace = "as fast as it can be read" if wish.lossless else f"at {wish.speed:g} times its speed"
        feed = f"the recording {wish.recording}, {pace}"
    elif wish.feed_port is not None:
        feed = " ".join(("a simulated market (set MASSIVE_API_KEY for the real one)", *wish.simulator))
    else:
        feed = f"Massive, {settings.MASSIVE_FEED}" if settings.MASSIVE_API_KEY else settings.MASSIVE_FEED
    login = (
        f"user {name}, password {password}   (shown this once)"
        if password is not None
        else f"user {name}   (password forgotten: {shown} manage.py changepassword {name})"
    )
    return ("", f"Open    {page}", f"Log in  {login}", f"Market  {feed}", "Stop    Ctrl-C", "")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        # An answer all the same, such as 400 when ALLOWED_HOSTS lacks the loopback address.
        return True
    except OSError:
        return False


def _speed(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("should be 0 or more")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError("should be from 1 to 64")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("should be from 0 to 65535")
    return value
