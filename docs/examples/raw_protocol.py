"""The protocol itself, with nothing but `websockets`: `python docs/examples/raw_protocol.py top_gainers`.

It asks for one value, then follows a board by its deltas until it is interrupted; docs/wds.md explains each message.
TAPEWATCH_URL and TAPEWATCH_TOKEN as for docs/examples/board.py.
"""

import json
import os
import sys
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

URL = os.environ.get("TAPEWATCH_URL", "ws://127.0.0.1:8000/ws")
TOKEN = os.environ.get("TAPEWATCH_TOKEN", "")


def changed(rows: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """A board's rows by symbol, best first, after a delta: first what goes, then what comes, then the order."""
    rows = {symbol: row for symbol, row in rows.items() if symbol not in delta["remove"]}
    for row in delta["upsert"]:
        rows[row["symbol"]] = rows.get(row["symbol"], {}) | row
    return {symbol: rows[symbol] for symbol in delta.get("order", rows)}


def main(slug: str) -> None:
    feed = f"scanners:{slug}"
    with connect(URL, max_size=None) as socket:

        def say(**message: Any) -> None:
            socket.send(json.dumps(message))

        say(action="auth", api_key=TOKEN)
        say(action="get", cache="status")
        say(action="subscribe", feed=feed, envelope=True, snapshot=True, delta=True, max_rate=2)
        rows: dict[str, Any] = {}
        for text in socket:
            message = json.loads(text)
            if "status" in message:
                print(f"status: {message}")
            elif "cache" in message:
                print(f"{message['cache']}: {message['data']}")
            else:
                if message["type"] == "delta":
                    # It builds on the message numbered message["data"]["base"]: on one socket, the one before it.
                    rows = changed(rows, message["data"])
                else:
                    rows = {row["symbol"]: row for row in message["data"] or []}
                print(f"{feed} {message['seq']} {message['type']}: {' '.join(list(rows)[:5])}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:] or ["top_gainers"])
    except ConnectionClosed as closed:
        sys.exit(f"The server closed: {closed}")
    except OSError as error:
        sys.exit(f"{URL} cannot be reached: {error}")
    except KeyboardInterrupt:
        pass
