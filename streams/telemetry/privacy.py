"""Ids of cards and employees where they must not stand in the clear: in logs and in metrics.

Alerts, scores and dead letters are records like their source and hold its ids: whoever may read these topics may read the source.
"""

from __future__ import annotations

import hashlib

from config.settings import Log

DIGITS = 16  # of the hash: 64 bits, so that two of a million ids share one with a chance of 1 in 37 million


def masked(key: str | bytes, stream: str, log: Log) -> str:
    """The id as logs and metrics may show it: itself, or a hash where `log.hash_keys` names the stream.

    The same id and the same `log.hash_secret` give the same hash on every worker, so that a person who may know an id finds it.
    """
    if stream not in log.hash_keys:
        return key if isinstance(key, str) else key.decode("utf-8", "replace")
    return hashed(key, log.hash_secret)


def hashed(key: str | bytes, secret: str) -> str:
    """A keyed hash of an id.

    >>> hashed("card-17", "a secret") == hashed(b"card-17", "a secret") != hashed("card-17", "another")
    True
    """
    whole = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    salt = hashlib.blake2b(secret.encode()).digest()
    return hashlib.blake2b(whole, digest_size=DIGITS // 2, key=salt).hexdigest()
