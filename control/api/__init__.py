"""The API for programs, `/api/v1/`: one module a subject; described at `/api/v1/docs` for those who are logged in."""

from django.contrib.auth.decorators import login_required

from control.api import (
    alerts,
    audit,
    backtests,
    bars,
    boards,
    layouts,
    market_data,
    operations,
    price_levels,
    problems,
    quotes,
    scanners,
    sockets,
    system,
    targets,
    tokens,
    watchlists,
    wds,
)
from control.api.auth import Bearer, Login
from control.api.description import DescribedAPI
from control.api.reading import CarefulParser

api = DescribedAPI(
    title="Tapewatch",
    version="1",
    description="Boards, quotes and bars, scanners and alerts, what people keep, and the running system with its "
    "controls. Errors are problem details (RFC 9457). Each answer has an `ETag` for conditional calls, and "
    "`RateLimit` headers; longer lists name their next page in `Link`.",
    urls_namespace="api",
    auth=[Bearer(), Login()],
    docs_decorator=login_required,
    parser=CarefulParser(),
)
problems.handle(api)
api.add_router("/scanners", scanners.router, tags=["scanners"])
api.add_router("/fields", scanners.fields_router, tags=["scanners"])
api.add_router("/boards", boards.router, tags=["boards"])
api.add_router("/quotes", quotes.router, tags=["market"])
api.add_router("/bars", bars.router, tags=["market"])
api.add_router("/market_data", market_data.router, tags=["market"])
api.add_router("/alerts", alerts.router, tags=["alerts"])
api.add_router("/price_levels", price_levels.router, tags=["price levels"])
api.add_router("/backtests", backtests.router, tags=["backtests"])
api.add_router("/layouts", layouts.router, tags=["workspace"])
api.add_router("/watchlists", watchlists.router, tags=["workspace"])
api.add_router("/tokens", tokens.router, tags=["tokens"])
api.add_router("/system", system.router, tags=["system"])
api.add_router("/operations", operations.router, tags=["system"])
api.add_router("/audit", audit.router, tags=["system"])
api.add_router("/sockets", sockets.router, tags=["sockets"])
api.add_router("/targets", targets.router, tags=["notification targets"])
api.add_router("/wds", wds.router, tags=["sockets"])
