"""Pages of long tables without counting them: each begins where the one before it ended."""

from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

_PAGE: Final = "p"
# Before the cursor of a page that lies towards the newer end.
_NEWER: Final = "newer."


class _Pages:
    """What the admin's templates want of a paginator: how the links are shown."""

    template_name = "admin/newer_older.html"

    def __init__(self, per_page: int) -> None:
        self.per_page = per_page


class KeysetChangeList(ChangeList):  # type: ignore[misc]
    """Newest first, by two columns, the second unique; whatever the table's length, a page costs the same.

    Attributes:
        keys: The columns that order it, descending; an index over them, or over what is filtered by and the first,
            makes pages quick.
        newer: The address of the page towards the newer end; None on the first.
        older: The address of the page towards the older end; None on the last.
    """

    keys: tuple[str, str] = ("at", "pk")
    newer: str | None = None
    older: str | None = None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        """The order of the keys, which no click changes: in any other one a page would take a sort of everything."""
        return [f"-{key}" for key in self.keys]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and one row more to know whether it is the last."""
        cursor = request.GET.get(_PAGE, "")
        backwards = cursor.startswith(_NEWER)
        rows = self._after(cursor.removeprefix(_NEWER), backwards) if cursor else self.queryset
        found = list(rows[: self.list_per_page + 1])
        more = len(found) > self.list_per_page
        page = found[: self.list_per_page]
        if backwards:
            page.reverse()
        if page:
            if cursor if not backwards else more:
                self.newer = self.get_query_string({_PAGE: f"{_NEWER}{self._cursor_of(page[0])}"})
            if more or backwards:
                self.older = self.get_query_string({_PAGE: self._cursor_of(page[-1])})
        elif cursor:
            self.newer = self.get_query_string(remove=[_PAGE])
        self.result_list = page
        self.result_count = len(page)
        # Said to be all there are, so that no page offers to show "all" of them.
        self.full_result_count = len(page)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(page)
        self.paginator = _Pages(self.list_per_page)

    def _after(self, cursor: str, backwards: bool) -> QuerySet[Any]:
        first, second = self.keys
        value, _, last = cursor.partition(".")
        if not (value.isdecimal() and len(value) <= 18 and last.isalnum() and last.isascii()):
            raise IncorrectLookupParameters
        sign = "gt" if backwards else "lt"
        try:
            # The first condition says nothing new; it lets the database begin there in the index.
            rows: QuerySet[Any] = self.queryset.filter(
                Q(**{f"{first}__{sign}e": int(value)}),
                Q(**{f"{first}__{sign}": int(value)}) | Q(**{f"{second}__{sign}": last}),
            )
        except ValueError:
            # A word where the second key is a number.
            raise IncorrectLookupParameters from None
        return rows.order_by(*self.keys) if backwards else rows

    def _cursor_of(self, row: Any) -> str:
        return f"{getattr(row, self.keys[0])}.{getattr(row, self.keys[1])}"
