"""Scanner expressions: SQL text → a checked formula over the table's columns.

`where` and `order_by` are parsed by sqlglot and translated node by node; what is not in the tables below is refused
with its place in the text and, for a name, the nearest one that exists. Nothing of the text is ever run as SQL or as
Python.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from math import isfinite
from typing import Any, Final

import polars as pl
from sqlglot import exp

from processors.fields import BY_NAME
from processors.scanning.scan_text import FUNCTIONS, ExpressionError, ExpressionText, meant, shown, sql

__all__ = ["FUNCTIONS", "ExpressionError", "Formula", "compile_condition", "compile_order", "evaluate", "problems"]


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
    exp.Add: lambda a, b: a + b,
    exp.Sub: lambda a, b: a - b,
    exp.Mul: lambda a, b: a * b,
    exp.Div: lambda a, b: a / b,
}
_LOGICAL: Final = (exp.And, exp.Or)
_COMPARING: Final = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_FUNCTIONS: Final[dict[type[exp.Expr], Callable[[pl.Expr], pl.Expr]]] = {
    exp.Abs: lambda a: a.abs(),
    exp.Floor: lambda a: a.floor(),
    exp.Ceil: lambda a: a.ceil(),
    exp.Sign: lambda a: a.sign(),
    exp.Ln: lambda a: a.log(),
    exp.Exp: lambda a: a.exp(),
    exp.Sqrt: lambda a: a.sqrt(),
}
_MANY: Final[dict[type[exp.Expr], Callable[[list[pl.Expr]], pl.Expr]]] = {
    exp.Coalesce: pl.coalesce,
    exp.Greatest: pl.max_horizontal,
    exp.Least: pl.min_horizontal,
}
_NUMBER, _TEXT, _TRUTH = "a number", "a text", "true or false"
_KIND_OF_UNIT: Final = {"text": _TEXT, "flag": _TRUTH}


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, ready to compute.

    Attributes:
        value: The outcome, over the table's columns and those of the steps.
        steps: Columns to add first, by name, one after the other: each is null where it is no finite number. Without
            them that check, which names its operand twice, would double the work at every operator that is nested.
    """

    value: pl.Expr
    steps: list[dict[str, pl.Expr]]


@dataclass(frozen=True, slots=True)
class _Typed:
    value: pl.Expr
    kind: str


class _Translation:
    """One text on its way to a formula."""

    def __init__(self, text: str, what: str) -> None:
        self._text = ExpressionText(text, what)
        self._levels: dict[str, int] = {}
        self._steps: list[dict[str, pl.Expr]] = []

    def number(self) -> Formula:
        return Formula(self._number(self._text.parse()), self._steps)

    def truth(self) -> Formula:
        return Formula(self._truth(self._text.parse()), self._steps)

    def _number(self, node: exp.Expr | None) -> pl.Expr:
        return self._of_kind(node, _NUMBER, "a number is needed")

    def _truth(self, node: exp.Expr | None) -> pl.Expr:
        return self._of_kind(node, _TRUTH, "a condition is needed")

    def _of_kind(self, node: exp.Expr | None, kind: str, needed: str) -> pl.Expr:
        typed = self._translate(node)
        if typed.kind != kind and node is not None:
            raise self._text.wrong(node, f"is {typed.kind}", needed)
        return typed.value

    def _alike(self, problem: str, *nodes: exp.Expr) -> list[_Typed]:
        first, *others = typed = [self._translate(node) for node in nodes]
        for node, other in zip(nodes[1:], others, strict=True):
            if other.kind != first.kind:
                raise self._text.wrong(node, f"is {other.kind}, {sql(nodes[0])!r} is {first.kind}", problem)
        return typed

    def _step(self, node: exp.Expr, value: pl.Expr) -> _Typed:
        """What is computed gets a column of its own, null where it is no finite number."""
        name = f"#{node.sql()}"
        level = 1 + max((self._levels[used] for used in value.meta.root_names()), default=0)
        self._levels[name] = level
        while len(self._steps) < level:
            self._steps.append({})
        self._steps[level - 1][name] = _finite(value).alias(name)
        return _Typed(pl.col(name), _NUMBER)

    def _translate(self, node: exp.Expr | None) -> _Typed:
        if node is None:
            raise self._text.error("an operand is missing")
        kind = type(node)
        if isinstance(node, exp.Paren):
            return self._translate(node.this)
        if isinstance(node, exp.Column) and not node.args.get("table"):
            return self._column(node)
        if isinstance(node, exp.Literal):
            return self._literal(node)
        if isinstance(node, exp.Boolean):
            return _Typed(pl.lit(bool(node.this)), _TRUTH)
        if isinstance(node, exp.Neg):
            return _Typed(-self._number(node.this), _NUMBER)
        if isinstance(node, exp.Not):
            return _Typed(~self._truth(node.this), _TRUTH)
        if isinstance(node, _LOGICAL):
            return _Typed(_BINARY[kind](self._truth(node.this), self._truth(node.expression)), _TRUTH)
        if isinstance(node, _COMPARING):
            return self._comparison(kind, node.this, node.expression)
        if kind in _BINARY:
            return self._step(node, _BINARY[kind](self._number(node.this), self._number(node.expression)))
        if isinstance(node, exp.Between) and not node.args.get("symmetric"):
            value, low, high = self._alike("they do not compare", node.this, node.args["low"], node.args["high"])
            return _Typed(value.value.is_between(low.value, high.value), _TRUTH)
        if isinstance(node, exp.In) and node.expressions:
            value, *_ = self._alike("they do not compare", node.this, *node.expressions)
            return _Typed(value.value.is_in([self._constant(item) for item in node.expressions]), _TRUTH)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return _Typed(self._translate(node.this).value.is_null(), _TRUTH)
        if isinstance(node, exp.Case) and node.this is None:
            return self._case(node.args["ifs"], node.args.get("default"))
        if isinstance(node, exp.If):
            return self._case([node], node.args.get("false"))
        if isinstance(node, exp.Round):
            return _Typed(self._number(node.this).round(self._decimals(node.args.get("decimals"))), _NUMBER)
        if kind in _FUNCTIONS and not node.args.get("decimals"):
            return self._step(node, _FUNCTIONS[kind](self._number(node.this)))
        if kind in _MANY:
            return _Typed(_MANY[kind]([self._number(item) for item in (node.this, *node.expressions)]), _NUMBER)
        raise self._text.wrong(
            node,
            "is not allowed here",
            "use fields, numbers, texts, + - * /, comparisons, AND, OR, NOT, BETWEEN, IN, IS NULL, CASE and "
            f"{', '.join(FUNCTIONS)}",
        )

    def _comparison(self, operator: type[exp.Expr], left: exp.Expr, right: exp.Expr) -> _Typed:
        a, b = self._alike("they do not compare", left, right)
        return _Typed(_BINARY[operator](a.value, b.value), _TRUTH)

    def _case(self, branches: list[exp.If], default: exp.Expr | None) -> _Typed:
        """The first branch whose condition is true; null where none is and there is no ELSE."""
        outcomes = [branch.args["true"] for branch in branches] + ([] if default is None else [default])
        typed = self._alike("one CASE has one kind of value", *outcomes)
        result = pl.lit(None) if default is None else typed[-1].value
        for branch, outcome in reversed([*zip(branches, typed, strict=False)]):
            result = pl.when(self._truth(branch.this)).then(outcome.value).otherwise(result)
        return _Typed(result, typed[0].kind)

    def _constant(self, node: exp.Expr) -> Any:
        sign, of = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
        if isinstance(of, exp.Boolean):
            return bool(of.this)
        if not isinstance(of, exp.Literal):
            raise self._text.wrong(node, "is no constant", "IN takes a list of numbers or texts")
        return str(of.this) if of.is_string else sign * float(of.this)

    def _literal(self, node: exp.Literal) -> _Typed:
        if node.is_string:
            return _Typed(pl.lit(str(node.this)), _TEXT)
        try:
            number = float(node.this)
        except ValueError:
            raise self._text.wrong(node, "is no number") from None
        if not isfinite(number):
            raise self._text.wrong(node, "is too great a number")
        return _Typed(pl.lit(number), _NUMBER)

    def _decimals(self, node: exp.Expr | None) -> int:
        if node is None:
            return 0
        if not (isinstance(node, exp.Literal) and str(node.this).isdecimal()):
            raise self._text.wrong(node, "is no whole number of decimals")
        return min(int(node.this), 10)

    def _column(self, node: exp.Column) -> _Typed:
        name = node.name
        field = BY_NAME.get(name) or BY_NAME.get(name.lower())
        if field is None:
            start, end = self._text.span(node) or (0, None)
            hint = meant(name, BY_NAME)
            problem = f"there is no field {shown(name)!r} at character {start + 1}{hint and f'; {hint}'}"
            raise self._text.error(problem, start, end)
        kind = _KIND_OF_UNIT.get(field.unit, _NUMBER)
        self._levels[field.name] = 0
        # Whole numbers would wrap around where doubles only lose digits.
        value = pl.col(field.name)
        return _Typed(value, kind) if kind != _NUMBER else self._step(exp.column(field.name), value.cast(pl.Float64))


def compile_condition(text: str) -> Formula:
    """A `where` as a formula that is true, false or null for each row; an empty text lets every row in.

    Raises:
        ExpressionError: In the author's words; see the module.
    """
    return _Translation(text, "where").truth() if text.strip() else Formula(pl.lit(value=True), [])


def compile_order(text: str) -> Formula:
    """An `order_by` as a formula that is a finite number or null for each row.

    Raises:
        ExpressionError: In the author's words; see the module.
    """
    return _Translation(text, "order_by").number()


def problems(where: str, order_by: str) -> dict[str, ExpressionError]:
    """What is wrong with a scanner's texts, by the text's name; empty when both can be used."""
    found: dict[str, ExpressionError] = {}
    for name, compile_text, text in (("where", compile_condition, where), ("order_by", compile_order, order_by)):
        try:
            compile_text(text)
        except ExpressionError as error:
            found[name] = error
    return found


def evaluate(rows: pl.DataFrame, formulas: Mapping[str, Formula]) -> pl.DataFrame:
    """Compute formulas together; what several have in common is computed once.

    Args:
        rows: The table, every field a column.
        formulas: By the name of the column that is to hold the outcome.

    Returns:
        A column for each formula, and `symbol`.
    """
    frame = rows.lazy()
    for level in zip_longest(*(formula.steps for formula in formulas.values()), fillvalue={}):
        frame = frame.with_columns({name: step for steps in level for name, step in steps.items()}.values())
    outcomes = [formula.value.alias(name) for name, formula in formulas.items()]
    return frame.select("symbol", *outcomes).collect()
