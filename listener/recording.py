"""Recordings: NDJSON files of frames with the times they were received, plain, `.gz` or `.zst`.

One JSON object a line: `{"at": epoch ms, "frame": [events]}`, `{"at": ..., "reference": {symbol: {...}}}` or
`{"at": ..., "news": {article}}`. Reading streams: neither the file nor its text is ever in memory as a whole.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec
import zstandard

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
# Compressed text grows tenfold or more: small bites keep what is in memory small.
_CHUNK: Final = 32 * 1024
# Frames have a thousand events or so; a "line" beyond this is some other kind of file.
_LONGEST_LINE: Final = 64 * 1024 * 1024
# What is compressed at once when written. Larger blocks make a real day no smaller.
_BLOCK: Final = 1024 * 1024


class RecordingError(Exception):
    """A recording cannot be read, or not further.

    Attributes:
        path: The file.
        line: Number of the line at fault, from 1; 0 when it is the file as a whole.
        reason: What is wrong with it.
        whole_lines: Lines before it that were read.
    """

    def __init__(self, path: Path, line: int, reason: str, whole_lines: int = 0) -> None:
        self.path, self.line, self.reason, self.whole_lines = path, line, reason, whole_lines
        super().__init__(f"{path}: line {line:,} {reason}" if line else f"{path}: {reason}")


class FrameLine(msgspec.Struct, frozen=True):
    """A frame: `frame` is its JSON array as it stands in the file, `at` epoch ms of its receipt."""

    number: int
    at: int
    frame: bytes


class ReferenceLine(msgspec.Struct, frozen=True):
    """Reference data by symbol, each field optional, known from `at` (epoch ms) on."""

    number: int
    at: int
    reference: dict[str, dict[str, Any]]


class NewsLine(msgspec.Struct, frozen=True):
    """One article in Massive's form, received at `at` (epoch ms)."""

    number: int
    at: int
    news: dict[str, Any]


Line = FrameLine | ReferenceLine | NewsLine


class _Wire(msgspec.Struct, frozen=True):
    at: int
    frame: msgspec.Raw = msgspec.Raw()
    reference: dict[str, dict[str, Any]] | None = None
    news: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Wire).decode


def _parse(number: int, text: bytes) -> Line:
    wire = _decode(text)
    frame = bytes(wire.frame)
    kinds = bool(frame) + (wire.reference is not None) + (wire.news is not None)
    if kinds != 1:
        raise msgspec.ValidationError("it must have exactly one of `frame`, `reference`, `news`")
    if wire.reference is not None:
        return ReferenceLine(number, wire.at, wire.reference)
    if wire.news is not None:
        return NewsLine(number, wire.at, wire.news)
    if not frame.startswith(b"["):
        raise msgspec.ValidationError("its `frame` is no array")
    return FrameLine(number, wire.at, frame)


def read_recording(path: Path, on_bad_line: Callable[[RecordingError], None] | None = None) -> Iterator[Line]:
    """The lines of a recording, in order.

    Args:
        path: The file; compression is told by its content.
        on_bad_line: Told of each line that cannot be read; reading goes on after it. Without it such a line is raised.

    Raises:
        RecordingError: The file cannot be opened or its first line shows that it is no recording; a bad line without
            `on_bad_line`; or, after all whole lines, that the rest is cut off or damaged.
    """
    number = 0
    try:
        for number, text, is_last in _numbered(path):
            try:
                line = _parse(number, text)
            except msgspec.MsgspecError as error:
                if is_last:
                    raise RecordingError(path, number, f"is cut off ({error})", number - 1) from error
                if number == 1:
                    raise RecordingError(
                        path, 0, f"this is not a recording: its first line is no frame ({error})"
                    ) from error
                problem = RecordingError(path, number, f"cannot be read ({error})", number - 1)
                if on_bad_line is None:
                    raise problem from error
                on_bad_line(problem)
                continue
            yield line
    except OSError as error:
        raise RecordingError(path, 0, f"cannot be read: {error.strerror or error}", number) from error
    if number == 0:
        raise RecordingError(path, 0, "this is not a recording: it is empty")


def _numbered(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Lines with their numbers from 1, and whether it is an unfinished last one; blank lines are passed over."""
    number, rest, damage = 0, b"", None
    chunks = _chunks(path)
    while True:
        try:
            chunk = next(chunks, b"")
        except (zlib.error, zstandard.ZstdError, EOFError) as error:
            damage, chunk = error, b""
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for text in lines:
            number += 1
            if text.strip():
                yield number, text, False
        if len(rest) > _LONGEST_LINE:
            raise RecordingError(path, number + 1, f"is longer than {_LONGEST_LINE // 2**20} MB: no recording", number)
    if damage is None:
        if rest.strip():
            yield number + 1, rest, True
        return
    what = "is cut off" if isinstance(damage, EOFError) else "is damaged"
    raise RecordingError(path, number + 1, f"{what} ({damage})", number)


def _chunks(path: Path) -> Iterator[bytes]:
    """The file's content, decompressed.

    Raises:
        EOFError: The compressed data ends early; all that came before has been given.
        zlib.error, zstandard.ZstdError: The compressed data is damaged.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(_GZIP):
            yield from _inflate(file, lambda: zlib.decompressobj(wbits=31))
        elif magic == _ZSTD:
            yield from _inflate(file, zstandard.ZstdDecompressor().decompressobj)
        else:
            while chunk := file.read(_CHUNK):
                yield chunk


def _inflate(file: BinaryIO, new_member: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress one member after the other, as files that were appended to have them."""
    member, begun = new_member(), False
    while chunk := file.read(_CHUNK):
        while chunk:
            begun = True
            if data := member.decompress(chunk):
                yield data
            chunk = b""
            if member.eof:
                chunk, member, begun = member.unused_data, new_member(), False
    if begun:
        raise EOFError("the compressed data ends early")


class RecordingWriter:
    """Appends lines to a recording; the name's suffix decides about compression. A context manager.

    Lines collect to a block, which is compressed by itself and written at once: the file ends with a whole line and a
    whole member at any time, whatever becomes of its writer, and recordings can be put together with `cat`.

    Args:
        path: The file; `.gz` and `.zst` are compressed.

    Raises:
        OSError: The file cannot be written. Every method may raise it; the lines since the last flush are lost then.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix, bytes)
        self._lines: list[bytes] = []
        self._waiting = 0
        self.size = self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def frame(self, at: int, events: bytes | Iterable[object]) -> None:
        """Append a frame received at `at` (epoch ms): its JSON text as it came, or its events."""
        text = events if isinstance(events, bytes) else msgspec.json.encode(list(events))
        self._line(b"frame", at, text)

    def reference(self, at: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Append reference data by symbol, known at `at` (epoch ms)."""
        self._line(b"reference", at, msgspec.json.encode(rows))

    def news(self, at: int, article: Mapping[str, Any] | msgspec.Raw) -> None:
        """Append an article received at `at` (epoch ms)."""
        self._line(b"news", at, msgspec.json.encode(article))

    def _line(self, kind: bytes, at: int, text: bytes) -> None:
        # Between the values of a JSON text a line's end is a blank; within them there is none.
        line = b'{"at":%d,"%b":%b}\n' % (at, kind, text.replace(b"\n", b" "))
        self._lines.append(line)
        self._waiting += len(line)
        if self._waiting >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if not self._lines:
            return
        block = memoryview(self._pack(b"".join(self._lines)))
        self._lines, self._waiting = [], 0
        try:
            written = 0
            while written < len(block):
                written += self._file.write(block[written:])
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise
        self.size += len(block)

    def close(self) -> None:
        """Finish the file."""
        with self._file:
            self.flush()
