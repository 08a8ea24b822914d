"""Scanner expressions: SQL text → a checked polars expression, and a board from a frame of rows.

`where` and `order_by` are parsed by sqlglot and translated node by node; what is not in the tables below is refused
with its place and, for a name, the nearest one that exists. Nothing of the text is ever run as SQL or as Python.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Final

import polars as pl
import sqlglot
from sqlglot import exp

from processors.fields import BY_NAME

MAX_CHARACTERS: Final = 2_000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 32


class ExpressionError(ValueError):
    """An expression that cannot be used: says what, where and, when there is one, what was probably meant."""


def _finite(value: pl.Expr) -> pl.Expr:
    """Null for infinite and NaN, which otherwise are greater than everything and top each board."""
    return pl.when(value.is_finite()).then(value)


_BINARY: Final[dict[type[exp.Expr], Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    exp.And: lambda a, b: a & b,
    exp.Or: lambda a, b: a | b,
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
    exp.Add: lambda a, b: _finite(a + b),
    exp.Sub: lambda a, b: _finite(a - b),
    exp.Mul: lambda a, b: _finite(a * b),
    exp.Div: lambda a, b: _finite(a / b),
}
_LOGICAL: Final = (exp.And, exp.Or)
_COMPARING: Final = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_FUNCTIONS: Final[dict[type[exp.Expr], Callable[[pl.Expr], pl.Expr]]] = {
    exp.Abs: lambda a: a.abs(),
    exp.Floor: lambda a: a.floor(),
    exp.Ceil: lambda a: a.ceil(),
    exp.Ln: lambda a: _finite(a.log()),
    exp.Sqrt: lambda a: _finite(a.sqrt()),
}
_MANY: Final[dict[type[exp.Expr], Callable[[list[pl.Expr]], pl.Expr]]] = {
    exp.Coalesce: pl.coalesce,
    exp.Greatest: pl.max_horizontal,
    exp.Least: pl.min_horizontal,
}
_NUMBER, _TEXT, _TRUTH = "a number", "a text", "true or false"
_KIND_OF_UNIT: Final = {"text": _TEXT, "flag": _TRUTH}


@dataclass(frozen=True, slots=True)
class _Typed:
    value: pl.Expr
    kind: str


def parse(text: str, what: str) -> exp.Expr:
    """Parse one expression and check its size.

    Raises:
        ExpressionError: It is too long, too deep, or no SQL expression.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"{what} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are allowed")
    _check_nesting(text, what)
    try:
        tree = sqlglot.parse_one(text, into=exp.Condition, dialect="duckdb")
    except Exception as error:  # noqa: BLE001 - a parser of a whole dialect fails in more ways than with its own errors
        raise ExpressionError(f"{what} cannot be read: {_first_line(error)}") from None
    nodes = depth = 0
    stack: list[tuple[exp.Expr, int]] = [(tree, 1)]
    while stack:
        node, level = stack.pop()
        nodes, depth = nodes + 1, max(depth, level)
        if nodes > MAX_NODES:
            raise ExpressionError(f"{what} has more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise ExpressionError(f"{what} is nested more than {MAX_DEPTH} deep")
        stack += [(child, level + 1) for child in node.iter_expressions()]
    return tree


def _check_nesting(text: str, what: str) -> None:
    """Refuse deep nesting before a recursive parser meets it."""
    level = 0
    for character in text:
        level += (character == "(") - (character == ")")
        if level > MAX_DEPTH:
            raise ExpressionError(f"{what} is nested more than {MAX_DEPTH} deep")


def _first_line(error: BaseException) -> str:
    entries = getattr(error, "errors", None)
    if entries:
        entry = entries[0]
        near = entry.get("highlight") or ""
        return (
            f"{entry.get('description', 'not understood').rstrip('.')} near {near!r}, character {entry.get('col', 0)}"
        )
    return str(error).splitlines()[0] if str(error) else "it is nested too deeply"


def _place(node: exp.Expr | None) -> str:
    return repr(node.sql(dialect="duckdb") if node is not None else "")


def _number(node: exp.Expr | None, what: str) -> pl.Expr:
    typed = _translate(node, what)
    if typed.kind != _NUMBER:
        raise ExpressionError(f"{what}: {_place(node)} is {typed.kind}, a number is needed")
    return typed.value


def _truth(node: exp.Expr | None, what: str) -> pl.Expr:
    typed = _translate(node, what)
    if typed.kind != _TRUTH:
        raise ExpressionError(f"{what}: {_place(node)} is {typed.kind}, a condition is needed")
    return typed.value


def _translate(node: exp.Expr | None, what: str) -> _Typed:
    if node is None:
        raise ExpressionError(f"{what} cannot be read: an operand is missing")
    kind = type(node)
    if isinstance(node, exp.Paren):
        return _translate(node.this, what)
    if isinstance(node, exp.Column) and not node.args.get("table"):
        return _column(node, what)
    if isinstance(node, exp.Literal):
        if node.is_string:
            return _Typed(pl.lit(str(node.this)), _TEXT)
        if not isfinite(number := float(node.this)):
            raise ExpressionError(f"{what}: {_place(node)[:80]} is too great a number")
        return _Typed(pl.lit(number), _NUMBER)
    if isinstance(node, exp.Boolean):
        return _Typed(pl.lit(bool(node.this)), _TRUTH)
    if isinstance(node, exp.Neg):
        return _Typed(-_number(node.this, what), _NUMBER)
    if isinstance(node, exp.Not):
        return _Typed(~_truth(node.this, what), _TRUTH)
    if isinstance(node, _LOGICAL):
        return _Typed(_BINARY[kind](_truth(node.this, what), _truth(node.expression, what)), _TRUTH)
    if isinstance(node, _COMPARING):
        left, right = _alike(node.this, node.expression, what)
        return _Typed(_BINARY[kind](left, right), _TRUTH)
    if kind in _BINARY:
        return _Typed(_BINARY[kind](_number(node.this, what), _number(node.expression, what)), _NUMBER)
    if isinstance(node, exp.Between) and not node.args.get("symmetric"):
        low, high = node.args["low"], node.args["high"]
        value = _number(node.this, what)
        return _Typed((value >= _number(low, what)) & (value <= _number(high, what)), _TRUTH)
    if isinstance(node, exp.In) and node.expressions:
        comparisons = [_alike(node.this, item, what) for item in node.expressions]
        return _Typed(pl.any_horizontal([left == right for left, right in comparisons]), _TRUTH)
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        return _Typed(_translate(node.this, what).value.is_null(), _TRUTH)
    if kind in _FUNCTIONS and not node.args.get("decimals"):
        return _Typed(_FUNCTIONS[kind](_number(node.this, what)), _NUMBER)
    if isinstance(node, exp.Round):
        decimals = node.args.get("decimals")
        if decimals is not None and not (isinstance(decimals, exp.Literal) and str(decimals.this).isdigit()):
            raise ExpressionError(f"{what}: round takes a whole number of decimals")
        return _Typed(_number(node.this, what).round(min(int(decimals.this), 10) if decimals else 0), _NUMBER)
    if kind in _MANY:
        items = [node.this, *node.expressions]
        return _Typed(_MANY[kind]([_number(item, what) for item in items]), _NUMBER)
    raise ExpressionError(
        f"{what}: {_place(node)[:80]} is not allowed here; use fields, numbers, texts, + - * /, "
        "comparisons, AND, OR, NOT, BETWEEN, IN, IS NULL and scalar functions"
    )


def _alike(left: exp.Expr, right: exp.Expr, what: str) -> tuple[pl.Expr, pl.Expr]:
    a, b = _translate(left, what), _translate(right, what)
    if a.kind != b.kind:
        raise ExpressionError(f"{what}: {_place(left)} is {a.kind}, {_place(right)} is {b.kind}; they do not compare")
    return a.value, b.value


def _column(node: exp.Column, what: str) -> _Typed:
    name = node.name
    field = BY_NAME.get(name) or BY_NAME.get(name.lower())
    if field is None:
        close = difflib.get_close_matches(name.lower(), BY_NAME, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ExpressionError(f"{what}: there is no field {name!r}{meant}")
    kind = _KIND_OF_UNIT.get(field.unit, _NUMBER)
    # Whole numbers would wrap around where doubles only lose digits.
    return _Typed(pl.col(field.name).cast(pl.Float64) if kind == _NUMBER else pl.col(field.name), kind)


def compile_condition(text: str) -> pl.Expr:
    """A `where` as an expression that is true, false or null for each row; an empty text lets every row in.

    Raises:
        ExpressionError: In the author's words; see the module.
    """
    if not text.strip():
        return pl.lit(value=True)
    return _truth(parse(text, "where"), "where")


def compile_order(text: str) -> pl.Expr:
    """An `order_by` as a finite number or null for each row.

    Raises:
        ExpressionError: In the author's words; see the module.
    """
    return _finite(_number(parse(text, "order_by"), "order_by").cast(pl.Float64))


@dataclass(frozen=True, slots=True)
class Board:
    """A scanner, ready to run over a frame of rows."""

    slug: str
    where: pl.Expr
    order_by: pl.Expr
    descending: bool
    limit: int

    @classmethod
    def compile(cls, slug: str, where: str, order_by: str, descending: bool, limit: int) -> "Board":
        """Check and translate a scanner's texts.

        Raises:
            ExpressionError: One of them cannot be used.
        """
        return cls(slug, compile_condition(where), compile_order(order_by), descending, limit)

    def run(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The best rows with their `rank`, best first. Ties rank by symbol, nulls last."""
        ranked = (
            rows.lazy()
            .filter(self.where)
            .with_columns(self.order_by.alias("#order"))
            .sort("#order", "symbol", descending=[self.descending, False], nulls_last=True)
            .head(self.limit)
            .drop("#order")
            .collect()
        )
        return ranked.with_columns(pl.int_range(1, ranked.height + 1, dtype=pl.Int32).alias("rank"))
