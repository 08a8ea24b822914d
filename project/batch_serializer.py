"""The feed tasks' serializer: JSON in which the events' own bytes pass through unparsed.

Celery's message body is `[args, kwargs, embed]`; a feed task has one argument, a `Batch`. Encoding copies the bytes of
each `msgspec.Raw` event as they came from the wire; decoding leaves them as slices for the task that knows their type.
"""

import msgspec
from kombu.serialization import register

from listener.events import Batch

NAME = "tapewatch-batch"
CONTENT_TYPE = "application/x-tapewatch-batch"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[tuple[Batch], dict[str, object], dict[str, object]])


def register_batch_serializer() -> None:
    """Make the serializer known to kombu by its name and content type."""
    register(
        NAME,
        lambda body: _encoder.encode(body).decode(),
        _decoder.decode,
        content_type=CONTENT_TYPE,
        content_encoding="utf-8",
    )
