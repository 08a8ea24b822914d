"""Tables as CSV, sent as they are read: a million rows take no more memory than a page of them."""

import csv
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

Page = Sequence[Sequence[Any]]
# What a spreadsheet takes for the beginning of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class _Line:
    """A file for `csv.writer` that hands back what is written."""

    def write(self, text: str) -> str:
        """The text."""
        return text


def csv_response(name: str, columns: Sequence[str], pages: Iterator[Page]) -> StreamingHttpResponse:
    """A download of a table.

    Args:
        name: The file's name, without its ending.
        columns: The header.
        pages: The rows, in pages; each is asked for, in a thread, when the one before it has been sent.
    """
    writer = csv.writer(_Line())

    async def lines() -> AsyncIterator[str]:
        # Each call of `writerow` returns what our "file" returned.
        yield str(writer.writerow(columns))
        read = sync_to_async(lambda: next(pages, None))
        while (page := await read()) is not None:
            yield "".join(str(writer.writerow([_cell(value) for value in row])) for row in page)

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
