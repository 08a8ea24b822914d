"""Prints the first rows of a board whenever it changes: `python -m docs.examples.board top_gainers`.

The environment says where and who: TAPEWATCH_URL (ws://127.0.0.1:8000/ws) and TAPEWATCH_TOKEN, a token such as
`python manage.py issue_token NAME` prints.
"""

import asyncio
import os
import sys

from widgets.client import Client, ClientError

URL = os.environ.get("TAPEWATCH_URL", "ws://127.0.0.1:8000/ws")
TOKEN = os.environ.get("TAPEWATCH_TOKEN", "")


async def main(slug: str) -> None:
    async with Client(URL, TOKEN) as client:
        async for rows in client.board(slug, max_rate=2):
            print(f"{slug}: {len(rows)} rows")
            for row in rows[:5]:
                print(f"  {row['rank']:>3}  {row['symbol']:<8} {row['price']}")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:] or ["top_gainers"]))
    except ClientError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
