"""The listener's agent: what operators are told of it, and what it does when they say so."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from listener.service import Listener
from processors.components.agent import Agent
from processors.components.instructions import CannotDo, Said
from processors.components.pulse import LoopPulse

# Whoever waits for the answer waits two seconds; a connection that takes longer shows in the listener's report.
_SETTLES_S: Final = 1.2
_ANSWERS_S: Final = 1.7


def listener_agent(listener: Listener, loop: asyncio.AbstractEventLoop) -> Agent:
    """An agent that reports on a listener and knows `look` (at the settings, at once) and `reconnect`.

    Args:
        listener: Whose it is.
        loop: The event loop in which it runs.
    """

    def told(do: Callable[[], Awaitable[None]]) -> Callable[[dict[str, Any]], Said]:
        def carry_out(arguments: dict[str, Any]) -> Said:
            answering = asyncio.run_coroutine_threadsafe(_answer(listener, do), loop)
            try:
                return answering.result(_ANSWERS_S)
            except TimeoutError:
                raise CannotDo("The listener does it, and has not finished yet: its state tells when.") from None

        return carry_out

    async def reconnect() -> None:
        listener.reconnect()

    return Agent(
        "listener",
        "listener",
        listener.figures,
        {"look": told(listener.look), "reconnect": told(reconnect)},
        pulse=LoopPulse(loop),
    )


async def _answer(listener: Listener, do: Callable[[], Awaitable[None]]) -> Said:
    before = _in_short(listener)
    await do()
    deadline = asyncio.get_running_loop().time() + _SETTLES_S
    while not listener.settled and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    return Said(f"{listener.report.state}: {listener.report.reason}", before, _in_short(listener))


def _in_short(listener: Listener) -> dict[str, Any]:
    said = ("state", "since", "reason", "feed", "market", "subscriptions", "settings_revision", "recording")
    figures = listener.figures()
    return {name: figures[name] for name in said}
