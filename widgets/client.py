"""A client of `/ws` for Python programs: boards as they stand, any feed as messages, and what the cache holds.

    async with Client("ws://127.0.0.1:8000/ws", token) as client:
        async for rows in client.board("top_gainers"):
            print(rows[0]["symbol"])

It needs `websockets` and, of this project, only readings.py. docs/wds.md explains the protocol. One task holds the
connection and takes in what arrives; each loop over a feed reads what has arrived for it, so that a slow loop delays no
other. A connection that is lost comes back by itself, and with it what was subscribed to.
"""

import asyncio
import itertools
import json
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from widgets.readings import (
    BoardCopy,
    BoardReading,
    ClientError,
    FeedReading,
    Forbidden,
    Message,
    NotAuthorised,
    Reading,
    Refused,
    Row,
    Stale,
    Unreachable,
)

if TYPE_CHECKING:
    import polars

__all__ = [
    "BoardCopy",
    "Client",
    "ClientError",
    "Forbidden",
    "Message",
    "NotAuthorised",
    "Refused",
    "Row",
    "Stale",
    "Unreachable",
]

log = logging.getLogger(__name__)

_NOT_AUTHORISED: Final = 4401
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
# Least and most to wait after these close codes: a restart, a process that is full, and somebody who asks too much.
_PAUSES_S: Final[dict[int | None, tuple[float, float]]] = {1012: (0.5, 5.0), 1013: (2.0, 10.0), 4429: (15.0, 45.0)}
# After this long without a message the server is asked whether it is still there; after as long again, it is not.
_SILENCE_S: Final = 10.0
# A server that is gone does not answer a goodbye either.
_GOODBYE_S: Final = 1.0

R = TypeVar("R", bound=Reading)


class Client:
    """A connection to Tapewatch's `/ws`, to be used with `async with`.

    Entering it raises `Unreachable` or `NotAuthorised` when it cannot begin. Later a lost connection comes back by
    itself; a token that is no longer good ends every loop and every `get` with `NotAuthorised`.

    Args:
        url: Such as `wss://desk.example/ws`.
        token: Of `manage.py issue_token` or the SCP.
        options: For `websockets.connect`, such as `ssl`.
    """

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self._url, self._token = url, token
        ours = {"max_size": None, "compression": None, "ping_interval": None, "close_timeout": _GOODBYE_S}
        self._options = ours | options
        self._socket: ClientConnection | None = None
        self._connections = 0
        self._task: asyncio.Task[None] | None = None
        self._readings: dict[str, list[Reading]] = {}
        self._patterns: set[str] = set()
        # Requests are answered in the order in which they were sent.
        self._gets: deque[tuple[dict[str, Any], asyncio.Future[Any]]] = deque()
        self._sending = asyncio.Lock()
        self._asking_again: asyncio.Task[None] | None = None
        self._return_after_s: float | None = None
        self._ended: ClientError | None = ClientError(
            "Not connected: use the client within `async with Client(url, token) as client:`."
        )

    async def __aenter__(self) -> Self:
        try:
            socket = await self._connect()
        except (OSError, TimeoutError, WebSocketException, Unreachable) as error:
            raise _fatal(error) or Unreachable(f"Cannot connect to {self._url}: {_words(error)}.") from error
        self._ended = None
        self._task = asyncio.create_task(self._stay_connected(socket))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._end(ClientError("The client was closed."))
        tasks = [task for task in (self._task, self._asking_again) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def board(
        self, slug: str, *, max_rate: float | None = None, stale_s: float | None = None
    ) -> AsyncGenerator[list[Row], None]:
        """A board's rows, best first: as they stand, and then whenever they change.

        Args:
            slug: Such as `top_gainers`. One that there is not, or not yet, has no rows.
            max_rate: At most so many changes a second; a loop that is slow sees the latest state in any case.
            stale_s: Raise `Stale` when the server says nothing of the board for so long; one that stands unchanged
                says so every five seconds.

        Raises:
            ClientError: `Forbidden`, `NotAuthorised` or `Stale`.
            ValueError: That is no board, or the rate is out of bounds.
        """
        async with self._subscribed(BoardReading(slug, max_rate, stale_s)) as reading:
            while True:
                yield await reading.next()

    async def frames(
        self, slug: str, *, max_rate: float | None = None, stale_s: float | None = None
    ) -> AsyncGenerator["polars.DataFrame", None]:
        """As `board`, as polars frames: once a column has been seen it stays, with a type that holds all its values."""
        import polars

        columns = polars.DataFrame()
        async with aclosing(self.board(slug, max_rate=max_rate, stale_s=stale_s)) as boards:
            async for rows in boards:
                # Neither a column that is null in all rows for once nor a board without rows breaks a query.
                frame = polars.DataFrame(rows, infer_schema_length=None)
                frame = polars.concat([columns, frame], how="diagonal_relaxed")
                columns = frame.clear()
                yield frame

    async def feed(self, name: str, *, max_rate: float | None = None) -> AsyncGenerator[Message, None]:
        """The messages of a feed, or of all that a pattern matches, the current value first.

        The current value comes again, as a `snapshot`, after messages went lost on the server or the connection did,
        and to every loop over the feed when another one begins.

        Args:
            name: Such as `alerts`, `news:latest`, `quote:AIG` or `bars:1m:*`.
            max_rate: At most so many messages a second and feed, the latest of them.

        Raises:
            ClientError: `Forbidden` or `NotAuthorised`.
            ValueError: That is no feed, or the rate is out of bounds.
        """
        async with self._subscribed(FeedReading(name, max_rate)) as reading:
            while True:
                yield await reading.next()

    async def get(self, key: str, limit: int | None = None) -> Any:
        """What the cache holds under a documented key; None when there is nothing. While disconnected it waits.

        Args:
            key: Such as `scanners:top_gainers` or `bars:1m:AIG`.
            limit: Of a list, the newest (or best) so many.

        Raises:
            ClientError: `Forbidden`, `NotAuthorised` or `Refused`.
        """
        request: dict[str, Any] = {"action": "get", "cache": key}
        if limit is not None:
            request["limit"] = limit
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self._ended is not None:
                raise self._ended
            self._gets.append((request, answer))
            await self._send(request)
        return await answer

    @asynccontextmanager
    async def _subscribed(self, reading: R) -> AsyncIterator[R]:
        if self._ended is not None:
            raise self._ended
        readings = self._readings.setdefault(reading.feed, [])
        if readings and readings[0].request != reading.request:
            raise ValueError(f"{reading.feed} is being read with other options; one client reads it in one way.")
        readings.append(reading)
        if reading.feed.endswith("*"):
            self._patterns.add(reading.feed)
        try:
            async with self._sending:
                await self._send(reading.request)
            yield reading
        finally:
            readings.remove(reading)
            if not readings and self._readings.get(reading.feed) is readings:
                del self._readings[reading.feed]
                self._patterns.discard(reading.feed)
                async with self._sending:
                    await self._send({"action": "unsubscribe", "feed": reading.feed})

    async def _send(self, request: dict[str, Any]) -> None:
        """Send a request. While there is no connection nothing is sent: the next one is asked for all that stands."""
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(json.dumps(request))

    async def _connect(self) -> ClientConnection:
        """Connect and authenticate."""
        socket = await connect(self._url, **self._options)
        try:
            async with asyncio.timeout(_SILENCE_S):
                await socket.send(json.dumps({"action": "auth", "api_key": self._token}))
                while (answer := _answer(await socket.recv())).get("status") != "authorized":
                    # A token that could not be looked up may be good; one that is refused is told when it closes.
                    if answer.get("status") == "error":
                        raise Unreachable(answer["error"])
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _stay_connected(self, socket: ClientConnection | None) -> None:
        """Hold a connection for as long as the token is good."""
        delays = _delays()
        while True:
            began, pause_s = monotonic(), 0.0
            try:
                async with socket or await self._connect() as socket:
                    await self._ask_for_all(socket)
                    await self._listen(socket)
            except (OSError, TimeoutError, WebSocketException, Unreachable) as error:
                if (fatal := _fatal(error)) is not None:
                    self._end(fatal)
                    return
                pause_s = random.uniform(*_PAUSES_S.get(_close_code(error), (0.0, 0.0)))  # noqa: S311 - see _delays
                log.warning("Tapewatch is not connected, again soon: %s", _words(error))
            except Exception as error:
                log.exception("the client stumbled")
                self._end(ClientError(f"The client stumbled over a message: {error!r}"))
                return
            finally:
                self._socket = socket = None
            # To be let in and thrown out again is no success.
            if monotonic() - began > _SILENCE_S:
                delays = _delays()
            announced, self._return_after_s = self._return_after_s, None
            await asyncio.sleep(max(next(delays), pause_s) if announced is None else announced)

    async def _ask_for_all(self, socket: ClientConnection) -> None:
        """Ask a new connection for all that loops read and callers wait for."""
        async with self._sending:
            self._socket = socket
            self._connections += 1
            requests = [readings[0].request for readings in self._readings.values()]
            requests += [request for request, _ in self._gets]
            for reading in itertools.chain.from_iterable(self._readings.values()):
                reading.confirmed = False
            for request in requests:
                await self._send(request)

    async def _ask_again(self) -> None:
        """Subscribe in a while to what the server could not let stand yet."""
        await asyncio.sleep(_FIRST_DELAY_S)
        async with self._sending:
            for reading in [readings[0] for readings in self._readings.values() if not readings[0].confirmed]:
                await self._send(reading.request)

    async def _listen(self, socket: ClientConnection) -> None:
        """Take in what arrives, until the connection is lost."""
        asked = False
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    text = await socket.recv()
            except TimeoutError:
                if asked:
                    raise TimeoutError("it does not answer") from None
                asked = True
                # Where nobody reads any more, there may be no room for it.
                async with asyncio.timeout(_SILENCE_S):
                    await self._send({"action": "ping"})
            else:
                asked = False
                await self._take(json.loads(text))

    async def _take(self, message: dict[str, Any]) -> None:
        status = message.get("status")
        if "seq" in message:
            for reading in self._readings_of(message["feed"]):
                if not reading.take(message, self._connections):
                    carriers = self._readings.get(message["feed"]) or [reading]
                    async with self._sending:
                        await self._send(carriers[0].request)
        elif "cache" in message:
            self._answer(message["cache"], message["data"])
        elif status == "subscribed":
            for reading in self._readings.get(message["feed"], ()):
                reading.confirmed = True
        elif status == "forbidden":
            self._refuse(message["feed"], Forbidden(f"This user may not read {message['feed']}."))
        elif status == "error":
            self._refuse(message.get("feed"), Refused(message["error"]))
        elif status == "reconnect":
            self._return_after_s = message["after_ms"] / 1_000
        elif status == "interrupted":
            log.warning("Tapewatch has nothing to say at the moment: %s", message["error"])

    def _readings_of(self, feed: str) -> list[Reading]:
        """Who reads a concrete feed. The server sends a message once, however many of the names match it."""
        names = [feed, *(pattern for pattern in self._patterns if feed.startswith(pattern[:-1]))]
        return [reading for name in names for reading in self._readings.get(name, ())]

    def _answer(self, key: str | None, answer: Any) -> bool:
        """Answer the `get` of a key (None: of any) that has waited longest, with a value or with an exception."""
        for waiting in self._gets:
            request, future = waiting
            if key in {None, request["cache"]}:
                self._gets.remove(waiting)
                # Its caller may have given up.
                if not future.done():
                    if isinstance(answer, ClientError):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
                return True
        return False

    def _refuse(self, feed: str | None, error: ClientError) -> None:
        """End what was refused; an error that names no feed, or names a key, is the answer to a `get`."""
        heeded = self._answer(feed, error)
        for reading in self._readings.get(feed or "", ()):
            if isinstance(error, Forbidden) or not reading.confirmed:
                heeded = True
                reading.fail(error)
        if not heeded:
            log.warning("Tapewatch says: %s", error)
        # What is subscribed to stands, without what the error says; what is not is asked for again.
        asking = self._asking_again is not None and not self._asking_again.done()
        if not asking and (not heeded or feed is None):
            self._asking_again = asyncio.create_task(self._ask_again())

    def _end(self, error: ClientError) -> None:
        """End every loop and every `get`: there will be no connection any more."""
        self._ended = self._ended or error
        for reading in itertools.chain.from_iterable(self._readings.values()):
            reading.fail(error)
        while self._answer(None, error):
            pass


def _answer(text: str | bytes) -> dict[str, Any]:
    """An answer to `auth`."""
    with suppress(ValueError):
        if isinstance(answer := json.loads(text), dict):
            return answer
    raise Unreachable("what answers there is no Tapewatch")


def _close_code(error: Exception) -> int | None:
    """The code with which the server has closed, if that is what happened."""
    return error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd is not None else None


def _words(error: Exception) -> str:
    """What happened, for people."""
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.reason:
        return error.rcvd.reason
    return str(error).rstrip(".") or "no answer in time"


def _fatal(error: Exception) -> NotAuthorised | None:
    """What trying again cannot mend."""
    # Of a program that was busy or a machine that slept in between the server says that it came too late.
    if _close_code(error) != _NOT_AUTHORISED or "in time" in _words(error):
        return None
    return NotAuthorised(f"Tapewatch does not take the token: {_words(error)}.")


def _delays() -> Iterator[float]:
    """Seconds to wait before each try to come back: longer each time, and by chance, so that not all come at once."""
    for tries in itertools.count():
        longest = min(_FIRST_DELAY_S * 2 ** min(tries, 10), _LONGEST_DELAY_S)
        yield longest * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains by guessing it
