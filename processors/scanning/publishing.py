"""What the engine writes: one atomic, fenced step a tick; and what the next engine finds of it."""

import logging
from dataclasses import dataclass, field
from time import time_ns
from typing import Final

import msgspec

from processors.scanning.alerts import Alert, RuleState, State
from processors.scanning.board_messages import Boards, Message, board_key
from processors.store import BOARDS, OWNERS, RULE_STATES, SCANS_TURN, Store, script

log = logging.getLogger(__name__)

LEASE_MS: Final = 1_000

_pack = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.json.Decoder(RuleState).decode


@dataclass(slots=True)
class Standing:
    """What was published last, by this engine or another.

    Attributes:
        turn: How many times anything was published: the fence.
        boards: The boards as they stand.
        state: What the rules saw.
        owners: Whose the rules are; 0: everyone's.
    """

    turn: int
    boards: Boards
    state: State
    owners: dict[str, int]


@dataclass(slots=True)
class Edition:
    """What one tick publishes.

    Attributes:
        messages: In their order.
        versions: Of the boards among them.
        state: What the rules saw; None: as before.
        alerts: What they found.
        owners: Of the rules that are new, or were somebody else's.
    """

    messages: list[Message] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    state: State | None = None
    alerts: list[Alert] = field(default_factory=list)
    owners: dict[str, int] = field(default_factory=dict)

    def changes(self, state: State) -> bool:
        """Whether there is anything to write, where the rules saw `state` before."""
        return bool(self.messages or self.alerts or self.owners) or (self.state is not None and self.state != state)


class Publisher:
    """One engine's pen. Every method may raise `redis.RedisError`; whether a step was done is then unknown."""

    def __init__(self, store: Store, token: str) -> None:
        self._redis = store.redis
        self._token = token
        self._publish = store.redis.register_script(script("publish"))

    def standing(self) -> Standing:
        """What was published last, in one look."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(SCANS_TURN)
            pipe.hgetall(BOARDS)
            pipe.hgetall(RULE_STATES)
            pipe.hgetall(OWNERS)
            turn, versions, state, owners = pipe.execute()
        slugs = [slug.decode() for slug in versions]
        # Between the two looks another engine may publish: its turn is then not the one read here, and ours fails.
        payloads = self._redis.mget([board_key(slug) for slug in slugs]) if slugs else []
        return Standing(
            int(turn or 0),
            Boards(
                {slug: int(version) for slug, version in zip(slugs, versions.values(), strict=True)},
                {slug: payload for slug, payload in zip(slugs, payloads, strict=True) if payload},
                time_ns() // 1_000_000,
            ),
            {rule.decode(): _decode_state(raw) for rule, raw in state.items()},
            {rule.decode(): int(owner) for rule, owner in owners.items()},
        )

    def publish(self, source_id: str, standing: Standing, edition: Edition) -> bool:
        """Write an edition, and take note of it in `standing`.

        Args:
            source_id: Whose rows they are; "" before any source.

        Returns:
            False when another engine's turn or another source came between; then nothing was written.
        """
        state = standing.state if edition.state is None else edition.state
        packed = _pack(
            {
                "versions": [item for pair in edition.versions.items() for item in pair],
                "state": [
                    item
                    for rule, seen in state.items()
                    if seen is not standing.state.get(rule)
                    for item in (rule, _text(seen))
                ],
                "owners": [item for pair in edition.owners.items() for item in pair],
                "dropped": [rule for rule in standing.state if rule not in state],
                "alerts": [item for alert in edition.alerts for item in (alert.rule, _text(alert))],
            }
        )
        flat = [item for message in edition.messages for item in (message.key, message.life_ms, message.payload)]
        turn, lost = self._publish(args=[self._token, source_id, standing.turn, LEASE_MS, packed, *flat])
        if lost:
            log.error("the database does not take alerts: %d more will not be in the history", lost)
        if turn:
            standing.turn, standing.state = int(turn), state
            standing.owners |= edition.owners
        return bool(turn)


def _text(value: Alert | RuleState) -> str:
    # Lua's msgpack knows no bytes.
    return msgspec.json.encode(value).decode()
