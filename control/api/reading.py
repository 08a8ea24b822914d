"""How requests are read: what no database and no cache can hold is refused before anybody tries."""

from typing import Any, Final

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.errors import HttpError
from ninja.parser import Parser
from ninja.types import DictStrAny

# Of objects and lists within each other. Python itself gives up at some hundreds, not the same everywhere: what one
# place read another could not write.
_MOST_LEVELS: Final = 64


class CarefulParser(Parser):
    """Reads bodies and queries, and refuses what is nested too deeply, and texts with NUL or halves of characters."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        """The body, parsed; whatever it raises means that it cannot be.

        Raises:
            HttpError: It is no object, or holds such a text.
        """
        body = super().parse_body(request)
        # Whatever else would be read by its attributes: of a number none, so that every default would hold.
        if not isinstance(body, dict):
            raise HttpError(422, "The body is no JSON object.")
        _check(body)
        return body

    def parse_querydict(
        self, data: "MultiValueDict[str, Any]", list_fields: list[str], request: HttpRequest
    ) -> DictStrAny:
        """The query, parsed.

        Raises:
            HttpError: It holds such a text, or something twice.
        """
        if twice := sorted(name for name in data if name not in list_fields and len(data.getlist(name)) > 1):
            raise HttpError(422, f"{', '.join(twice)[:200]}: given more than once.")
        query = super().parse_querydict(data, list_fields, request)
        _check(query)
        return query


def _check(content: Any) -> None:
    waiting = [(content, 1)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, dict | list):
            if level > _MOST_LEVELS:
                raise HttpError(422, f"The body is nested too deeply: at most {_MOST_LEVELS} levels can be kept.")
            within = (*value.keys(), *value.values()) if isinstance(value, dict) else value
            waiting += ((one, level + 1) for one in within)
        elif isinstance(value, str) and not _can_be_kept(value):
            raise HttpError(422, "A text holds a character that cannot be kept: NUL, or half of one.")


def _can_be_kept(text: str) -> bool:
    return (text.isascii() and "\0" not in text) or not any(one == "\0" or "\ud800" <= one <= "\udfff" for one in text)
