"""What the connection asks for, what the server gives, and what people are told of it."""

import asyncio
from time import monotonic

from aiohttp import web

from listener.feed import State
from tests.listener.feed_client import Client, running
from tests.listener.feed_server import AUTHENTICATED, CONNECTED, closes, serving, silence, status

EVENT = '[{"ev":"T","sym":"A","p":1,"t":1}]'


async def test_they_change_on_the_live_connection_at_once() -> None:
    async with serving() as server:
        server.scripts = (server.converses(),)
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(client.frames) == 2)
            since = client.connection.report.since
            began = monotonic()
            await client.connection.change_subscriptions(("A.*", "Q.ZZB", "LULD.*"))
            await client.until(lambda: server.subscribed == {"A.*", "Q.ZZB", "LULD.*"})
            assert monotonic() - began < 0.5
            assert client.reason == f"Subscribed to A.*, Q.ZZB, LULD.* at {server.address}."
            assert client.connection.report.since == since
    assert server.requests[2:] == [
        {"action": "subscribe", "params": "Q.ZZB,LULD.*"},
        {"action": "unsubscribe", "params": "T.*"},
    ]
    assert len(server.connected_at) == 1


async def test_they_survive_every_reconnect() -> None:
    drops = [closes(1000), closes(1001), closes(1008), closes(1011)]
    async with serving() as server:
        server.scripts = (server.converses(), *(server.accepts(then=drop) for drop in drops), server.accepts(EVENT))
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
            await client.connection.change_subscriptions(("A.*", "Q.ZZB"))
            await client.until(lambda: server.subscribed == {"A.*", "Q.ZZB"})
            await server.cut()
            await client.until(lambda: EVENT.encode() in client.frames)
    asked = [set(request["params"].split(",")) for request in server.requests[5:] if request["action"] == "subscribe"]
    assert asked == [{"A.*", "Q.ZZB"}] * 5


async def test_a_change_while_it_backs_off_counts_from_the_next_connection_on() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(then=closes(1011)), server.converses())
        async with running(Client(server.address)) as client:
            await client.until_state(State.BACKING_OFF)
            await client.connection.change_subscriptions(("Q.*",))
            await client.until(lambda: len(server.requests) == 4)
    assert server.requests[3] == {"action": "subscribe", "params": "Q.*"}


async def test_a_change_during_the_handshake_is_not_lost() -> None:
    changed = asyncio.Event()

    async def script(socket: web.WebSocketResponse) -> None:
        await changed.wait()
        await server.converses()(socket)

    async with serving() as server:
        server.scripts = (script,)
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(server.connected_at) == 1)
            await client.connection.change_subscriptions(("Q.*",))
            changed.set()
            await client.until(lambda: server.subscribed >= {"Q.*"})
            assert server.subscribed - {"a-secret-key"} == {"Q.*"}


async def test_a_channel_that_the_plan_does_not_include_is_named_and_the_others_go_on() -> None:
    async with serving() as server:
        server.scripts = (server.converses(refused={"Q.*"}),)
        async with running(Client(server.address, subscriptions=("T.*", "Q.*"))) as client:
            reason = await client.until_state(State.LIVE, "Refused")
            assert reason == f"Subscribed to T.* at {server.address}. Refused: Q.* (not authorized)."
            # It stays refused while others change, and is forgotten with its subscription.
            await client.connection.change_subscriptions(("T.*", "Q.*", "LULD.*"))
            await client.until(lambda: client.reason.startswith("Subscribed to T.*, LULD.* at"))
            assert client.reason.endswith("Refused: Q.* (not authorized).")
            await client.connection.change_subscriptions(("T.*", "A.*"))
            await client.until(lambda: client.reason == f"Subscribed to T.*, A.* at {server.address}.")
            await client.connection.change_subscriptions(("T.*", "A.*", "Q.*"))
            await client.until(lambda: client.reason.endswith("Refused: Q.* (not authorized)."))
    assert len(server.connected_at) == 1
    assert State.REFUSED not in client.states


async def test_a_channel_that_the_server_passes_over_is_named() -> None:
    async with serving() as server:
        server.scripts = (server.converses(unknown={"X.*"}),)
        async with running(Client(server.address, subscriptions=("T.*", "X.*"))) as client:
            reason = await client.until_state(State.LIVE, "Not confirmed")
    assert reason == f"Subscribed to T.* at {server.address}. Not confirmed, so perhaps unknown there: X.*."


async def test_a_server_that_confirms_nothing_is_believed() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(EVENT),)
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
            await asyncio.sleep(0.5)
            assert client.reason == f"Subscribed to T.*, A.* at {server.address}."


async def test_one_that_gives_nothing_of_what_is_asked_for_is_a_refusal() -> None:
    async with serving() as server:
        server.scripts = (server.converses(refused={"T.*", "A.*"}),)
        client = Client(server.address)
        await asyncio.wait_for(client.connection.run(), 8)
    assert client.state is State.REFUSED
    assert client.reason.startswith(f"{server.address} refuses every subscription: not authorized.")
    assert len(server.connected_at) == 1


async def test_an_old_refusal_is_not_blamed_for_a_later_end() -> None:
    async with serving() as server:
        server.scripts = (server.converses(refused={"Q.*"}),)
        async with running(Client(server.address, subscriptions=("T.*", "Q.*"))) as client:
            await client.until_state(State.LIVE, "Refused")
            await server.cut()
            assert await client.until_state(State.BACKING_OFF) == "The connection broke off."


async def test_many_names_are_not_all_recited() -> None:
    names = tuple(f"T.ZZ{number}" for number in range(1_000))
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with running(Client(server.address, subscriptions=names)) as client:
            reason = await client.until_state(State.LIVE)
    assert reason.startswith("Subscribed to T.ZZ0, T.ZZ1, ")
    assert " and 988 more at " in reason
    assert server.requests[1]["params"] == ",".join(names)


async def test_statuses_before_the_first_subscription_do_no_harm() -> None:
    async def eager(socket: web.WebSocketResponse) -> None:
        await socket.send_json(CONNECTED)
        await server.hear(socket)
        await socket.send_json(AUTHENTICATED)
        await socket.send_json(status("success", "subscribed to: Z.*"))
        await silence(socket)

    async with serving() as server:
        server.scripts = (eager,)
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
            await client.until(lambda: len(client.frames) == 1)
            assert client.reason == f"Subscribed to T.*, A.* at {server.address}."
