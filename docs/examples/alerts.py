"""Alerts as they fire, and beside them the market's state: `python -m docs.examples.alerts`.

One connection serves both loops. TAPEWATCH_URL and TAPEWATCH_TOKEN as for docs/examples/board.py.
"""

import asyncio
import os
import sys

from widgets.client import Client, ClientError

URL = os.environ.get("TAPEWATCH_URL", "ws://127.0.0.1:8000/ws")
TOKEN = os.environ.get("TAPEWATCH_TOKEN", "")


async def alerts(client: Client) -> None:
    async for message in client.feed("alerts"):
        if message.lost:
            print(f"{message.lost} alerts went by unread; what is kept of them follows")
        # A snapshot is the list of those that are kept, newest first.
        fired = reversed(message.data or []) if message.type == "snapshot" else [message.data]
        for alert in fired:
            print(f"alert {alert['rule']}: {alert['symbol']} at {alert['price']}")


async def session(client: Client) -> None:
    seen = None
    async for message in client.feed("status"):
        if message.data is not None and message.data["session"] != seen:
            seen = message.data["session"]
            print(f"session: {seen}")


async def main() -> None:
    async with Client(URL, TOKEN) as client:
        await asyncio.gather(alerts(client), session(client))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ClientError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
