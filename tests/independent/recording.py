"""A recording's lines, read anew."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a gzipped recording, each with `at` and one of `frame`, `reference`, `news`."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with gzip.open(path, "rb") as file:
        yield from map(decode, file)


def frames(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The frames of a gzipped recording."""
    return (line["frame"] for line in lines(path) if "frame" in line)
