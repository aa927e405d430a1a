"""
Signs what clients and workers store on the server, and checks the signatures.

Without signatures, anyone who can write to the server could make a worker run anything. So each record is signed, and
the signature is checked before the record is decoded. The signature is HMAC-SHA256 over the queue, the kind of record,
the id of the event, and the data. So a record is not valid for another event, another queue or another purpose. An old
record that is put back does no harm, since no event that has ended runs again.

A record is one byte that says how it is signed, 32 bytes of signature unless it is not signed, and the data.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

UNSIGNED = b"\x00"
SIGNED = b"\x01"

# Bytes of a signature.
SIGNATURE_LENGTH = 32

# The least length of a secret in bytes. A shorter one could be guessed by trying.
MIN_SECRET = 16

EVENT = b"event"
OUTCOME = b"outcome"


class UntrustedRecordError(Exception):
    """A record is not signed with one of the secrets. It must not be decoded."""


def unverified(record: bytes) -> bytes:
    """Return the data of a record without a check. Only for people to look at: no event may be made of it."""
    return record[1 + SIGNATURE_LENGTH :] if record[:1] == SIGNED else record[1:]


def _bytes_of(secret: str | bytes) -> bytes:
    try:
        # An environment variable with other bytes than UTF-8 has them in surrogates.
        return secret.encode(errors="surrogateescape") if isinstance(secret, str) else bytes(secret)
    except UnicodeEncodeError:  # the secret is in its text
        raise ConfigurationError("a secret has a character that UTF-8 cannot hold") from None


class Signer:
    """
    Signs and checks the records of one queue.

    Args:
        queue: The name of the queue.
        secrets: The first one signs, all of them verify, so that a secret can be replaced. Empty: records are not
            signed, and anyone who can write to the server can make workers run events.

    Raises:
        ConfigurationError: A secret has less than 16 bytes, or is a text that UTF-8 cannot hold.
    """

    def __init__(self, queue: str, secrets: Sequence[str | bytes]) -> None:
        self._secrets = [_bytes_of(secret) for secret in secrets]
        if any(len(secret) < MIN_SECRET for secret in self._secrets):
            raise ConfigurationError(f"a secret must have at least {MIN_SECRET} bytes, so that it cannot be guessed")
        self._queue = queue.encode()

    def __repr__(self) -> str:
        return f"Signer({self._queue.decode()!r}, {len(self._secrets)} secrets)"

    def sign(self, kind: bytes, event_id: str, data: bytes) -> bytes:
        """Return a record with the data, signed with the first secret if there is one."""
        if not self._secrets:
            return UNSIGNED + data
        return SIGNED + self._signature(self._secrets[0], kind, event_id, data) + data

    def unsign(self, kind: bytes, event_id: str, record: bytes) -> bytes:
        """
        Return the data of a record.

        Raises:
            UntrustedRecordError: It is not signed with one of the secrets, or is empty. Without secrets: it is signed.
        """
        if not record:
            raise UntrustedRecordError("there is none: it was removed, or its time on the server is over")
        if not self._secrets:
            if record[:1] == UNSIGNED:
                return record[1:]
            raise UntrustedRecordError("it is signed, and there is no secret here")
        signature, data = record[1 : 1 + SIGNATURE_LENGTH], record[1 + SIGNATURE_LENGTH :]
        if record[:1] != SIGNED or len(signature) != SIGNATURE_LENGTH:
            raise UntrustedRecordError("it is not signed")
        # All secrets are tried, so that the time says nothing about which one fits.
        fits = [
            hmac.compare_digest(signature, self._signature(secret, kind, event_id, data)) for secret in self._secrets
        ]
        if not any(fits):
            raise UntrustedRecordError("its signature is not one of the secrets here")
        return data

    def _signature(self, secret: bytes, kind: bytes, event_id: str, data: bytes) -> bytes:
        """Return the signature. Each part has its length in front, so that no two lists of parts are one text."""
        parts = (self._queue, kind, event_id.encode(), data)
        text = b"".join([piece for part in parts for piece in (len(part).to_bytes(8, "big"), part)])
        return hmac.digest(secret, text, "sha256")
