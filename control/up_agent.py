"""`up`'s agent: which parts it keeps running and how each does, and what it can be told to do with them."""

import asyncio
import socket
from dataclasses import asdict
from typing import Any, Final

import msgspec
import psutil
import redis

from control.feed_workers import FeedWorkers
from control.supervisor import Supervisor
from processors.components.agent import Agent, prompt_client
from processors.components.instructions import CannotDo, Said
from processors.components.report import expected, forget

# A worker may finish the batch in its hands.
_GRACE_S: Final = 8.0
# Whoever waits for the answer waits two seconds.
_ANSWERS_S: Final = 1.7
# The cache has no agent of its own.
_WITHOUT_AGENT: Final = frozenset({"valkey"})
_HOST: Final = socket.gethostname()


class UpAgent:
    """Tells of the parts, and has them restarted.

    Args:
        supervisor: Keeps them running.
        crew: Keeps the feed workers.
        loop: The event loop in which both run.
    """

    def __init__(self, supervisor: Supervisor, crew: FeedWorkers, loop: asyncio.AbstractEventLoop) -> None:
        self._supervisor, self._crew, self._loop = supervisor, crew, loop
        self._cache = prompt_client()
        self._knows_the_dead = False
        self.agent = Agent(
            "up",
            "up",
            self.figures,
            {"look": self._look, "restart_part": self._restart_part, "restart": self._restart},
        )

    def figures(self) -> dict[str, Any]:
        """`parts`: by name, the fields of `PartState`, where a part that runs and has not reported yet is `starting`;
        `feed_workers`: how many are `wanted`, how many are `running`."""
        return {"parts": self._parts(), "feed_workers": msgspec.to_builtins(self._crew.crew())}

    def _parts(self) -> dict[str, dict[str, Any]]:
        parts = {name: asdict(state) for name, state in self._supervisor.states().items()}
        try:
            if not self._knows_the_dead:
                # Those that an `up` that was killed has taken along.
                self.forget_the_dead()
            reporting = {component.pid for component in expected(self._cache) if component.host == _HOST}
        except redis.RedisError:
            return parts
        for name, part in parts.items():
            if part["state"] == "running" and part["pid"] not in reporting and name not in _WITHOUT_AGENT:
                part["state"] = "starting"
        return parts

    def forget_the_dead(self) -> None:
        """Let nobody miss processes of this host that have ended without a goodbye, and that nobody starts again.

        Raises:
            redis.RedisError: The cache cannot be reached.
        """
        for component in expected(self._cache):
            if component.host == _HOST and not psutil.pid_exists(component.pid):
                forget(self._cache, component.address)
        self._knows_the_dead = True

    def _look(self, arguments: dict[str, Any]) -> Said:
        """Follow the number of feed workers that is wanted now."""
        if not self._crew.keeping:
            raise CannotDo("`up` is still starting the system; it follows the settings as soon as it runs.")
        before = self._crew.crew()
        try:
            crew = asyncio.run_coroutine_threadsafe(self._crew.look(), self._loop).result(_ANSWERS_S)
        except TimeoutError:
            raise CannotDo("The settings are still being read; the feed workers follow.") from None
        return Said(f"Feed workers: {crew}.", msgspec.to_builtins(before), msgspec.to_builtins(crew))

    def _restart_part(self, arguments: dict[str, Any]) -> Said:
        name = str(arguments.get("name", ""))
        states = self._supervisor.states()
        if name not in states:
            kept = ", ".join(sorted(states))
            raise CannotDo(f"`up` keeps no part called {name or '(none given)'}; it keeps {kept}.")
        if states[name].state == "ending":
            raise CannotDo(f"{name} is ending for good.")
        before = {"pid": states[name].pid, "state": states[name].state}
        if name in _WITHOUT_AGENT:
            # The answer goes through the cache itself.
            restart = self._supervisor.restart(name, _GRACE_S)
            return Said(
                f"{name} ends and starts again at once.",
                before,
                then=lambda: asyncio.run_coroutine_threadsafe(restart, self._loop),
            )
        begun = asyncio.run_coroutine_threadsafe(self._supervisor.restart(name, _GRACE_S), self._loop)
        try:
            pid = begun.result(_ANSWERS_S)
        except TimeoutError:
            return Said(
                f"{name} finishes what it does, and is started again then.", before, {**before, "state": "ending"}
            )
        if pid is None:
            raise CannotDo(f"{name} was ended and does not start: its last lines in the terminal of `up` say why.")
        return Said(f"{name} was ended and starts again.", before, {"pid": pid, "state": "starting"})

    def _restart(self, arguments: dict[str, Any]) -> Said:
        raise CannotDo("Nobody keeps `up` running: stop it with Ctrl-C in its terminal, and start it again.")
