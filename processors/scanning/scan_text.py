"""A scanner's text: parsed by sqlglot into a tree, within bounds, and able to point at a part of itself."""

import difflib
from collections.abc import Collection
from typing import Any, Final

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token, TokenType

MAX_CHARACTERS: Final = 2_000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 32
# No expression of so few parts is written with more words.
_MAX_TOKENS: Final = 3 * MAX_NODES
_SHOWN: Final = 60
_DIALECT: Final = DuckDB()
# As people write them.
FUNCTIONS: Final = (
    *("abs", "floor", "ceil", "round", "sign", "ln", "exp", "sqrt"),
    *("coalesce", "greatest", "least", "if"),
)
# What stands before a parenthesis: these and their other names, and words of the language. With any other the parser
# would be led into the rest of its dialect: of types it reads what is within twice, and again within that.
_CALLED: Final = frozenset((*FUNCTIONS, "ceiling", "ifnull", "nvl", "iif", "signum"))
_JOINING: Final = frozenset(("and", "or", "not", "in", "between", "is", "case", "when", "then", "else"))
_BRACKETS: Final = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
_LEVEL: Final = {
    **dict.fromkeys((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE), 1),
    **dict.fromkeys((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END), -1),
}


class ExpressionError(ValueError):
    """An expression that cannot be used: says what, where and, when there is one, what was probably meant.

    Attributes:
        start: Where in the text the trouble begins, in characters from 0.
        end: Where it ends, exclusive.
    """

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


class ExpressionText:
    """One text.

    Args:
        text: As somebody wrote it.
        what: Its name, for errors.
    """

    def __init__(self, text: str, what: str) -> None:
        self._text = text
        self._what = what
        self._words: list[Token] = []

    def error(self, message: str, start: int = 0, end: int | None = None) -> ExpressionError:
        """An error about the text from `start` to `end`, by default all of it."""
        return ExpressionError(f"{self._what}: {message}", start, len(self._text) if end is None else end)

    def wrong(self, node: exp.Expr, problem: str, hint: str = "") -> ExpressionError:
        """An error about a part of the tree: `{part} at character {n} {problem}; {hint}`."""
        start, end = self.span(node) or (0, None)
        place = f" at character {start + 1}" if end is not None else ""
        return self.error(f"{sql(node)!r}{place} {problem}{hint and f'; {hint}'}", start, end)

    def span(self, node: exp.Expr) -> tuple[int, int] | None:
        """From a part's first word to its last; None when it has neither a name nor a number nor a text."""
        places = [part.meta for part in node.walk() if "start" in part.meta]
        if not places:
            return None
        start, end = min(place["start"] for place in places), max(place["end"] for place in places) + 1
        if isinstance(node, exp.Func):
            # Of some functions the parser does not remember where the name stood: before the first operand.
            names = [word.start for word in self._words if word.start < start and word.text.upper() in node.sql_names()]
            start = max(names, default=start)
        return start, end

    def parse(self) -> exp.Expr:
        """The tree.

        Raises:
            ExpressionError: It is too long, too deep, or no SQL expression.
        """
        text = self._text
        if len(text) > MAX_CHARACTERS:
            problem = f"{len(text):,} characters are too many; at most {MAX_CHARACTERS:,} are allowed"
            raise self.error(problem, MAX_CHARACTERS)
        if (
            not text.isprintable()
            and (odd := next((at for at, one in enumerate(text) if _is_odd(one)), None)) is not None
        ):
            raise self.error(f"the character at {odd + 1} cannot be used", odd, odd + 1)
        self._words = self._tokens()
        try:
            trees: Any = _DIALECT.parser().parse_into(exp.Condition, self._words, text)
        except ParseError as error:
            raise self._unreadable(error) from None
        except Exception:  # noqa: BLE001 - a parser of a whole dialect fails in more ways than with its own errors
            raise self.error("it is nested too deeply") from None
        if not isinstance(tree := trees[0] if trees else None, exp.Expr):
            raise self.error("it is empty")
        self._check_size(tree)
        return tree

    def _tokens(self) -> list[Token]:
        """The words of the text; refuses what would only be noise or trouble for the parser."""
        try:
            tokens: list[Token] = _DIALECT.tokenize(self._text)
        except Exception:  # noqa: BLE001 - the tokenizer leaves some of its errors unnamed
            raise self.error("a quote or a comment is not closed") from None
        if len(tokens) > _MAX_TOKENS:
            raise self.error(f"it has more than {MAX_NODES} parts", tokens[_MAX_TOKENS].start)
        level = 0
        for before, token in zip((None, *tokens), tokens, strict=False):
            if before is not None and token.token_type in _BRACKETS and _is_no_function(before):
                hint = meant(before.text, FUNCTIONS) or f"use {', '.join(FUNCTIONS)}"
                problem = f"{shown(before.text)!r} at character {before.start + 1} is no function here; {hint}"
                raise self.error(problem, before.start, before.end + 1)
            if token.comments:
                raise self.error(f"comments are not allowed, near character {token.start + 1}", token.start)
            if token.token_type is TokenType.SEMICOLON:
                raise self.error(f"';' at character {token.start + 1} is not allowed", token.start, token.end + 1)
            level += _LEVEL.get(token.token_type, 0)
            if level > MAX_DEPTH:
                raise self.error(f"it is nested more than {MAX_DEPTH} deep", token.start)
        return tokens

    def _unreadable(self, error: ParseError) -> ExpressionError:
        entry: dict[str, Any] = error.errors[0] if error.errors else {}
        problem = str(entry.get("description") or "not understood").rstrip(".")
        at = next((one for one in self._words if (one.line, one.col) == (entry.get("line"), entry.get("col"))), None)
        if at is None:
            return self.error(f"cannot be read: {problem}")
        place = f"{shown(self._text[at.start : at.end + 1])!r} at character {at.start + 1}"
        if problem.startswith("Required keyword"):
            return self.error(f"something is missing after {place}", at.start, at.end + 1)
        if problem.startswith("Invalid expression"):
            return self.error(f"{place} is not expected there", at.start, at.end + 1)
        return self.error(f"cannot be read near {place}: {problem}", at.start, at.end + 1)

    def _check_size(self, tree: exp.Expr) -> None:
        nodes = 0
        stack = [(tree, 1)]
        while stack:
            node, level = stack.pop()
            nodes += 1
            if nodes > MAX_NODES:
                raise self.error(f"it has more than {MAX_NODES} parts")
            if level > MAX_DEPTH:
                raise self.error(f"it is nested more than {MAX_DEPTH} deep", *(self.span(node) or ()))
            stack += [(child, level + 1) for child in node.iter_expressions()]


def _is_no_function(word: Token) -> bool:
    quoted = word.token_type is TokenType.IDENTIFIER
    if word.token_type is TokenType.STRING or not (quoted or word.text[:1].isalpha() or word.text[:1] == "_"):
        return False
    return word.text.lower() not in (_CALLED if quoted else _CALLED | _JOINING)


def _is_odd(character: str) -> bool:
    """Control characters and halves of characters, which no field has and no cache takes."""
    return not character.isprintable() and not character.isspace()


def meant(name: str, known: Collection[str]) -> str:
    """What was probably meant, as a question; "" where nothing is close."""
    close = difflib.get_close_matches(shown(name.lower()), known, n=1)
    return f"did you mean {close[0]}?" if close else ""


def shown(text: str) -> str:
    """What fits of a text into an error."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def sql(node: exp.Expr) -> str:
    """A part of a tree as text again, shortened alike."""
    return shown(node.sql(dialect=_DIALECT))
