"""A market in a box: a seeded day of US stocks, and a server that speaks Massive's WebSocket and REST protocols.

In the order of an event's way: `trading_days` (when the market is open), `universe` (what is listed), `plan` (what a
day has in store), `history` (the days before), `opening` (the day so far), `tape` (trades and quotes step by step),
`auctions`, `luld`, `bars` (their exact aggregation), `wire` (Massive's JSON), `market` (the pacing), `server` and
`rest` (the edge). `recorded` plugs a recording into the same server.
"""
