"""How values that cross the system (msgspec) are described in the API's own description (pydantic)."""

import inspect
import re
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from ninja import Schema
from pydantic import Field, create_model

_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): ", re.MULTILINE)


@cache
def schema_of(struct: type[msgspec.Struct]) -> type[Schema]:
    """The schema of a struct and of those within, described as their docstrings do."""
    text, _, attributes = (inspect.getdoc(struct) or "").partition("\n\nAttributes:\n")
    _, *pairs = _ATTRIBUTE.split(attributes)
    said = {name: " ".join(meaning.split()) for name, meaning in zip(pairs[::2], pairs[1::2], strict=True)}
    fields: Any = {
        name: (_described(kind), Field(..., description=said.get(name)))
        for name, kind in get_type_hints(struct).items()
    }
    return create_model(struct.__name__, __base__=Schema, __doc__=" ".join(text.split()), **fields)


def _described(kind: Any) -> Any:
    """A type, with schemas instead of structs."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return schema_of(kind)
    origin, within = get_origin(kind), get_args(kind)
    if origin in {UnionType, Union}:
        return Union[tuple(_described(one) for one in within)]  # noqa: UP007 - of a tuple
    if origin in {list, dict}:
        return origin[tuple(_described(one) for one in within)]
    return kind
