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
        # Requests are answered in the order in which they were sent.
        self._gets: deque[tuple[dict[str, Any], asyncio.Future[Any]]] = deque()
        self._sending = asyncio.Lock()
        self._asking_again: asyncio.Task[None] | None = None
        self._return_after_s: float | None = None
        self._ended: ClientError | None = None

    async def __aenter__(self) -> Self:
        try:
            socket = await self._connect()
        except (OSError, TimeoutError, WebSocketException) as error:
            problem = str(error) or "no answer in time"
            raise _fatal(error) or Unreachable(f"No Tapewatch answers at {self._url}: {problem}") from error
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
            slug: Such as `top_gainers`.
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
        """As `board`, as polars frames."""
        import polars

        async with aclosing(self.board(slug, max_rate=max_rate, stale_s=stale_s)) as boards:
            async for rows in boards:
                yield polars.DataFrame(rows, infer_schema_length=None)

    async def feed(self, name: str, *, max_rate: float | None = None) -> AsyncGenerator[Message, None]:
        """The messages of a feed, or of all that a pattern matches, the current value first.

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
        try:
            async with self._sending:
                await self._send(reading.request)
            yield reading
        finally:
            readings.remove(reading)
            if not readings and self._readings.get(reading.feed) is readings:
                del self._readings[reading.feed]
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
                while json.loads(await socket.recv()).get("status") != "authorized":
                    # What is refused is closed, with the reason.
                    pass
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _stay_connected(self, socket: ClientConnection | None) -> None:
        """Hold a connection for as long as the token is good."""
        delays = _delays()
        while True:
            try:
                async with socket or await self._connect() as socket:
                    delays = _delays()
                    await self._ask_for_all(socket)
                    await self._listen(socket)
            except (OSError, TimeoutError, WebSocketException) as error:
                if (fatal := _fatal(error)) is not None:
                    self._end(fatal)
                    return
                log.warning("Tapewatch is not connected, again soon: %s", error)
            except Exception as error:
                log.exception("the client stumbled")
                self._end(ClientError(f"The client stumbled over a message: {error!r}"))
                return
            finally:
                self._socket = socket = None
            announced, self._return_after_s = self._return_after_s, None
            await asyncio.sleep(next(delays) if announced is None else announced)

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
                await self._send({"action": "ping"})
            else:
                asked = False
                await self._take(json.loads(text))

    async def _take(self, message: dict[str, Any]) -> None:
        status = message.get("status")
        if "seq" in message:
            for reading in self._readings_of(message["feed"]):
                if not reading.take(message, self._connections):
                    async with self._sending:
                        await self._send(reading.request)
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
        """Who reads a concrete feed: by its own name, else by the longest pattern."""
        if feed in self._readings:
            return self._readings[feed]
        patterns = [name for name in self._readings if name.endswith("*") and feed.startswith(name[:-1])]
        return self._readings[max(patterns, key=len)] if patterns else []

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
            # What is subscribed to stands, without what the error says; what is not is asked for again.
            log.warning("Tapewatch says: %s", error)
            if self._asking_again is None or self._asking_again.done():
                self._asking_again = asyncio.create_task(self._ask_again())

    def _end(self, error: ClientError) -> None:
        """End every loop and every `get`: there will be no connection any more."""
        self._ended = self._ended or error
        for reading in itertools.chain.from_iterable(self._readings.values()):
            reading.fail(error)
        while self._answer(None, error):
            pass


def _fatal(error: Exception) -> NotAuthorised | None:
    """What trying again cannot mend."""
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == _NOT_AUTHORISED:
        return NotAuthorised(f"Tapewatch does not take the token: {error.rcvd.reason or 'invalid key'}.")
    return None


def _delays() -> Iterator[float]:
    """Seconds to wait before each try to come back: longer each time, and by chance, so that not all come at once."""
    for tries in itertools.count():
        longest = min(_FIRST_DELAY_S * 2 ** min(tries, 10), _LONGEST_DELAY_S)
        yield longest * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains by guessing it
