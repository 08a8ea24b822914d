"""The API for programs, `/api/v1/`: one module a subject; described at `/api/v1/docs` for those who are logged in."""

from django.contrib.auth.decorators import login_required
from ninja import NinjaAPI

from control.api import alerts, backtests, boards, price_levels, problems, scanners, sockets, wds
from control.api.auth import Bearer, Login
from control.api.reading import CarefulParser

api = NinjaAPI(
    title="Tapewatch",
    version="1",
    description="Scanners, boards, alerts, backtests, and who is connected. Errors are problem details (RFC 9457).",
    urls_namespace="api",
    auth=[Bearer(), Login()],
    docs_decorator=login_required,
    parser=CarefulParser(),
)
problems.handle(api)
api.add_router("/scanners", scanners.router, tags=["scanners"])
api.add_router("/fields", scanners.fields_router, tags=["scanners"])
api.add_router("/boards", boards.router, tags=["boards"])
api.add_router("/alerts", alerts.router, tags=["alerts"])
api.add_router("/price_levels", price_levels.router, tags=["price levels"])
api.add_router("/backtests", backtests.router, tags=["backtests"])
api.add_router("/sockets", sockets.router, tags=["sockets"])
api.add_router("/wds", wds.router, tags=["sockets"])
