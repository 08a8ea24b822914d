"""A row as clients get it, as types: made of the fields, and so never another than those."""

from typing import TYPE_CHECKING, Annotated, Any, Final, NotRequired, TypedDict

import msgspec

from processors.fields import FIELDS
from processors.fields.field import WHOLE_UNITS, Field

# Never unknown.
_ALWAYS: Final = frozenset({"symbol"})
# The market's clock is the same in every row and in `status`: with it no row of a board would ever stay the same.
NOT_ON_BOARDS: Final = ("clock",)


def _type(field: Field) -> Any:
    kind: Any = {"text": str, "flag": bool}.get(field.unit, int if field.unit in WHOLE_UNITS else float)
    meta = msgspec.Meta(description=field.description, extra_json_schema={"x-unit": field.unit})
    return Annotated[kind if field.name in _ALWAYS else kind | None, meta]


if TYPE_CHECKING:
    # Which fields there are is only known when the program runs.
    Row = dict[str, Any]
    BoardRow = dict[str, Any]
    ChangedRow = dict[str, Any]
else:
    _ROW = {field.name: _type(field) for field in FIELDS}
    _ON_BOARDS = {name: kind for name, kind in _ROW.items() if name not in NOT_ON_BOARDS}
    Row = TypedDict("Row", _ROW)
    Row.__doc__ = "A row of the symbol table. Null is unknown."
    BoardRow = TypedDict("BoardRow", {**_ON_BOARDS, "rank": Annotated[int, msgspec.Meta(ge=1)]})
    BoardRow.__doc__ = "A row on a board, with its place."
    ChangedRow = TypedDict(
        "ChangedRow",
        {name: kind if name in _ALWAYS else NotRequired[kind] for name, kind in _ON_BOARDS.items()},
    )
    ChangedRow.__doc__ = "Of a row the fields that changed, and its symbol; of a row that is new, all."
