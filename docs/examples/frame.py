"""A board as a polars frame, and a question to it: `python -m docs.examples.frame top_volume`.

TAPEWATCH_URL and TAPEWATCH_TOKEN as for docs/examples/board.py.
"""

import asyncio
import os
import sys

import polars as pl

from widgets.client import Client, ClientError, Stale

URL = os.environ.get("TAPEWATCH_URL", "ws://127.0.0.1:8000/ws")
TOKEN = os.environ.get("TAPEWATCH_TOKEN", "")


async def main(slug: str) -> None:
    async with Client(URL, TOKEN) as client:
        # What no longer moves is not to be traded on: after 15 s without a word this ends.
        async for frame in client.frames(slug, max_rate=1, stale_s=15):
            if frame.is_empty():
                print(f"{slug} is empty")
                continue
            dollars = (pl.col("price") * pl.col("accumulated_volume")).alias("dollars")
            most = frame.select("rank", "symbol", "price", dollars).top_k(5, by="dollars")
            print(most)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:] or ["top_volume"]))
    except Stale as error:
        sys.exit(f"{error} Is the scanner engine running?")
    except ClientError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
