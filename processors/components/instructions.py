"""Telling running processes to do something, and hearing what came of it.

An instruction goes to all processes over one channel; those that are meant carry it out and answer. Nobody keeps it for
a process that is not there.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import msgspec
import redis

from processors.components.report import components
from processors.store import INSTRUCTIONS, answers_key

_ANSWERS_LIFE_S: Final = 30
_LEAST_WAIT_S: Final = 0.01


class NobodyThere(Exception):
    """No running process is called so; the text says how."""


class CannotDo(Exception):
    """A process that was told to do something cannot; the text says why, and what to do."""


class Instruction(msgspec.Struct, frozen=True):
    """What goes over the channel.

    Attributes:
        id: Its own.
        to: Whom it is meant for: a name, a kind, a host and process id, or `all`.
        what: Its name.
        arguments: What it needs.
    """

    id: str
    to: str
    what: str
    arguments: dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What one process answers.

    Attributes:
        component: Its name.
        host: Where it runs.
        pid: Its process id there.
        ok: Whether it has done it.
        said: In words, what it has done, or why not.
        before: What was, as far as that can be said.
        after: What is now.
    """

    component: str
    host: str
    pid: int
    ok: bool
    said: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class Said:
    """What carrying out an instruction came to.

    Attributes:
        said: In words.
        before: What was.
        after: What is now.
        then: What is done when the answer is out, such as ending the process.
    """

    said: str
    before: Any = None
    after: Any = None
    then: Callable[[], object] | None = None


def instruct(
    cache: "redis.Redis", to: str, what: str, arguments: dict[str, Any], timeout_s: float = 2.0
) -> list[Answer]:
    """Tell running processes to do something, and wait for their answers.

    Args:
        cache: A client that waits for an answer longer than `timeout_s`.
        to: A name, a kind, a host and process id (`host:pid`), or `all`.
        what: The instruction's name.
        arguments: What it needs.
        timeout_s: How long to wait for all of them.

    Returns:
        The answers that came in time, the first ones first; who is missing among those that were there did not answer.

    Raises:
        NobodyThere: None of the processes that are there is called so.
        redis.RedisError: The cache cannot be reached.
    """
    waiting = {component.address for component in components(cache) if component.is_called(to)}
    if not waiting:
        raise NobodyThere(f"No running component is called {to}.")
    instruction = Instruction(secrets.token_hex(8), to, what, arguments)
    deadline = monotonic() + timeout_s
    cache.publish(INSTRUCTIONS, msgspec.json.encode(instruction))
    answers: list[Answer] = []
    while waiting and (left := deadline - monotonic()) > _LEAST_WAIT_S:
        said: Any = cache.blpop([answers_key(instruction.id)], timeout=left)
        if said is not None:
            answer = msgspec.json.decode(said[1], type=Answer)
            answers.append(answer)
            waiting.discard(f"{answer.host}:{answer.pid}")
    return answers


def reply(cache: "redis.Redis", instruction: str, answer: Answer) -> None:
    """Let an answer be heard by who waits for it.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    key = answers_key(instruction)
    with cache.pipeline(transaction=True) as pipe:
        pipe.rpush(key, msgspec.json.encode(answer))
        pipe.expire(key, _ANSWERS_LIFE_S)
        pipe.execute()
