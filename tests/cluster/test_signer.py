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
def test_signed_data_come_back(data, event_id):
    """With one secret, with several, and without."""
    for secrets in ([], [OLD], [NEW, OLD]):
        signer = Signer("queue", secrets)
        assert signer.unsign(EVENT, event_id, signer.sign(EVENT, event_id, data)) == data


@given(st.binary(min_size=0, max_size=60), st.data())
def test_a_record_in_which_one_byte_is_another_is_refused(data, draw):
    """Wherever the byte is."""
    signer = Signer("queue", [OLD])
    record = bytearray(signer.sign(EVENT, "id", data))
    record[draw.draw(st.integers(0, len(record) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(UntrustedRecordError):
        signer.unsign(EVENT, "id", bytes(record))


@given(st.binary(max_size=80))
def test_garbage_is_refused(garbage):
    """By its error, and by no other."""
    with pytest.raises(UntrustedRecordError):
        Signer("queue", [OLD]).unsign(EVENT, "id", garbage)


def test_a_record_serves_for_its_queue_its_kind_and_its_event_only():
    """For another one of each, it is refused."""
    record = Signer("queue", [OLD]).sign(EVENT, "id", b"data")
    for queue, kind, event_id in [("other", EVENT, "id"), ("queue", OUTCOME, "id"), ("queue", EVENT, "id2")]:
        with pytest.raises(UntrustedRecordError):
            Signer(queue, [OLD]).unsign(kind, event_id, record)


def test_the_parts_cannot_be_moved_against_each_other():
    """Joined without their lengths, "a" + "bdata" and "ab" + "data" would be one text."""
    record = Signer("queue", [OLD]).sign(EVENT, "a", b"bdata")
    moved = record[:33] + b"data"
    with pytest.raises(UntrustedRecordError):
        Signer("queue", [OLD]).unsign(EVENT, "ab", moved)


def test_a_secret_can_be_replaced():
    """In between, the new secret signs and both verify."""
    before, between, after = (Signer("queue", secrets) for secrets in ([OLD], [NEW, OLD], [NEW]))
    assert between.unsign(EVENT, "id", before.sign(EVENT, "id", b"data")) == b"data"
    assert after.unsign(EVENT, "id", between.sign(EVENT, "id", b"data")) == b"data"
    with pytest.raises(UntrustedRecordError):
        after.unsign(EVENT, "id", before.sign(EVENT, "id", b"data"))


def test_signed_and_unsigned_do_not_mix():
    """In neither direction."""
    unsigned, signed = Signer("queue", []), Signer("queue", [OLD])
    with pytest.raises(UntrustedRecordError, match="it is not signed"):
        signed.unsign(EVENT, "id", unsigned.sign(EVENT, "id", b"data"))
    with pytest.raises(UntrustedRecordError, match="there is no secret here"):
        unsigned.unsign(EVENT, "id", signed.sign(EVENT, "id", b"data"))


def test_a_short_secret_is_refused_and_shown_nowhere():
    """Neither in the message nor in the repr."""
    with pytest.raises(ConfigurationError, match="at least 16 bytes") as caught:
        Signer("queue", ["short"])
    assert "short" not in str(caught.value)
    assert OLD not in repr(Signer("queue", [OLD]))


def test_a_secret_may_have_any_bytes_in_the_environment():
    """Python has bytes that are not UTF-8 as surrogates there. They are the same secret as these bytes."""
    raw = b"\xff" * 20
    record = Signer("queue", [raw.decode(errors="surrogateescape")]).sign(EVENT, "id", b"data")
    assert Signer("queue", [raw]).unsign(EVENT, "id", record) == b"data"
