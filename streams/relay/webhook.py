"""A webhook: every report of an episode posted as the CloudEvent that it is, one after another, signed.

Signed as Standard Webhooks has it: ``webhook-id`` (the alert's id: what comes twice bears the same), ``webhook-timestamp`` and
``webhook-signature: v1,`` with the HMAC-SHA256 of ``id.timestamp.body`` in base64.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

from streams.relay.alert import CLOSED, ended_by_silence
from streams.relay.courier import Around, Courier, after, headers_of
from streams.relay.inbox import Inbox
from streams.relay.ledger import Heard, Story
from streams.transport.log import Record

CONTENT_TYPE = "application/cloudevents+json"


class Webhook(Courier):
    """A courier to one address."""

    def __init__(self, name: str, inbox: Inbox, around: Around, url: str) -> None:
        super().__init__(name, inbox, around)
        self._url = url
        self._secret = key_of(around.relay.webhook_secret)

    def begin(self) -> None:
        """Nothing: what was told is known from the ledger."""

    def take(self, records: Sequence[Record]) -> None:
        for record in records:
            heard, alert, story = self.hear(record)
            if heard is Heard.NEWS and alert is not None:
                self._tell(record, alert.id)
                if story is not None and alert.data.phase != CLOSED:
                    story.told = True
            self.inbox.commit(after([record]))

    def tick(self) -> None:
        """Tell what was held of keys that are quiet no more."""
        now = self.around.clock()
        for story in self.ledger:
            data = story.alert.data
            if story.held is not None and self.around.quiet(data.stream, data.key, now) is None:
                self._tell(story.record._replace(value=story.held), story.alert.id)
                story.held, story.told = None, True

    def silenced(self, story: Story, seconds: float) -> None:
        if self.ledger.told(story, self.around.clock()):
            ended = ended_by_silence(story.body, seconds)
            self._tell(story.record._replace(value=ended), f"{story.id}.silence")

    def _tell(self, record: Record, identity: str) -> None:
        """Post until it is taken; after too many tries to dead-letters."""
        body = record.value or b""
        for tries in range(1, self.relay.tries + 1):
            moment = int(self.around.clock())
            signature = sign(self._secret, identity, moment, body) if self._secret else ""
            more = {"Content-Type": CONTENT_TYPE, "webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": signature}
            answer = self.send(self._url, body, headers_of(more))
            if answer.delivered:
                self.metrics.forwarded.labels(self.name).inc()
                return
            if tries < self.relay.tries:
                self.wait_after(tries, answer)
        self.bury(record, f"{answer}, tried {self.relay.tries} times")


def key_of(secret: str) -> bytes:
    """The bytes to sign with: of ``whsec_…`` what its base64 stands for, of any other text its UTF-8.

    Raises
    ------
    binascii.Error
        What follows ``whsec_`` is no base64; settings that were loaded have been checked for that.
    """
    if secret.startswith("whsec_"):
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def sign(secret: bytes, identity: str, moment: int, body: bytes) -> str:
    """The value of ``webhook-signature``.

    >>> sign(key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    whole = b".".join((identity.encode(), str(moment).encode(), body))
    return "v1," + b64encode(hmac.new(secret, whole, hashlib.sha256).digest()).decode()
