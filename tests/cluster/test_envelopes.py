"""Signed records: a worker runs nothing that somebody without the secret has put on the server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import cluster

from lionpride_exec import ConfigurationError

EVENT, OUTCOME, Signer, UntrustedRecordError = (
    cluster.EVENT,
    cluster.OUTCOME,
    cluster.Signer,
    cluster.UntrustedRecordError,
)

OLD, NEW = "the first secret of all", b"another secret, newer"


@given(st.binary(max_size=100), st.text(max_size=40))
def test_what_is_sealed_is_unsealed(data, event_id):
    """With one secret, with several, and without."""
    for secrets in ([], [OLD], [NEW, OLD]):
        signer = Signer("queue", secrets)
        assert signer.unseal(EVENT, event_id, signer.seal(EVENT, event_id, data)) == data


@given(st.binary(min_size=0, max_size=60), st.data())
def test_a_record_in_which_one_byte_is_another_is_refused(data, draw):
    """Wherever the byte is."""
    signer = Signer("queue", [OLD])
    record = bytearray(signer.seal(EVENT, "id", data))
    record[draw.draw(st.integers(0, len(record) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(UntrustedRecordError):
        signer.unseal(EVENT, "id", bytes(record))


@given(st.binary(max_size=80))
def test_garbage_is_refused(garbage):
    """By its error, and by no other."""
    with pytest.raises(UntrustedRecordError):
        Signer("queue", [OLD]).unseal(EVENT, "id", garbage)


def test_a_record_serves_for_its_queue_its_kind_and_its_event_only():
    """For another one of each, it is refused."""
    record = Signer("queue", [OLD]).seal(EVENT, "id", b"data")
    for queue, kind, event_id in [("other", EVENT, "id"), ("queue", OUTCOME, "id"), ("queue", EVENT, "id2")]:
        with pytest.raises(UntrustedRecordError):
            Signer(queue, [OLD]).unseal(kind, event_id, record)


def test_the_parts_cannot_be_moved_against_each_other():
    """Joined without their lengths, "a" + "bdata" and "ab" + "data" would be one text."""
    record = Signer("queue", [OLD]).seal(EVENT, "a", b"bdata")
    moved = record[:33] + b"data"
    with pytest.raises(UntrustedRecordError):
        Signer("queue", [OLD]).unseal(EVENT, "ab", moved)


def test_a_secret_can_be_replaced():
    """In between, the new secret signs and both verify."""
    before, between, after = (Signer("queue", secrets) for secrets in ([OLD], [NEW, OLD], [NEW]))
    assert between.unseal(EVENT, "id", before.seal(EVENT, "id", b"data")) == b"data"
    assert after.unseal(EVENT, "id", between.seal(EVENT, "id", b"data")) == b"data"
    with pytest.raises(UntrustedRecordError):
        after.unseal(EVENT, "id", before.seal(EVENT, "id", b"data"))


def test_signed_and_unsigned_do_not_mix():
    """In neither direction."""
    unsigned, signed = Signer("queue", []), Signer("queue", [OLD])
    with pytest.raises(UntrustedRecordError, match="it is not signed"):
        signed.unseal(EVENT, "id", unsigned.seal(EVENT, "id", b"data"))
    with pytest.raises(UntrustedRecordError, match="there is no secret here"):
        unsigned.unseal(EVENT, "id", signed.seal(EVENT, "id", b"data"))


def test_a_short_secret_is_refused_and_shown_nowhere():
    """Neither in the message nor in the repr."""
    with pytest.raises(ConfigurationError, match="at least 16 bytes") as caught:
        Signer("queue", ["short"])
    assert "short" not in str(caught.value)
    assert OLD not in repr(Signer("queue", [OLD]))
