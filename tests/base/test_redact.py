"""Redacted fields, in the library."""

import json
import logging
import sqlite3
from contextlib import closing
from typing import Annotated
from urllib.parse import quote

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import redaction
from support import view_of

from lionpride_exec import Concurrent, Event, Executor, Journal, Processor
from lionpride_exec.errors import EventFailed, RateLimited, ValidationError
from lionpride_exec.testing import BACKENDS
from lionpride_exec.testing import run as run_virtual

NO_SECRETS = redaction.NO_SECRETS
STARS = redaction.STARS
digest_of = redaction.digest_of
mask = redaction.mask
mask_data = redaction.mask_data
mask_path = redaction.mask_path
secrets_of = redaction.secrets_of
texts_of = redaction.texts_of

KEY = "sk-SECRET 'ä/"


class Ask(Event, tag="tests.redact.ask"):
    """Quotes its secret in all that it gives and raises."""

    prompt: str = ""
    api_key: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        if self.prompt == "fail":
            raise ConnectionError(f"GET /v1?key={quote(self.api_key)}: {self.api_key!r}, {json.dumps(self.api_key)}")
        return {"key": self.api_key}


class Milder(Ask, tag="tests.redact.milder"):
    """Says the field anew, with another default and an annotation of its own."""

    api_key: Annotated[str, "any"] = "none"


# -------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("before abcd-efgh after", "before *** after"),
        ("abcd-efgh", "***"),
        ("abcdabcd-efghefgh", "abcd***efgh"),
        ("abcd", "abcd"),
        ("7", "***"),
        ("17", "17"),
    ],
)
def test_a_text_has_stars_for_what_it_quotes(text, masked):
    """A short secret is replaced only where it is all that there is."""
    assert mask(text, frozenset({"abcd-efgh", "7"})) == masked


@given(st.text(min_size=4).filter(lambda text: "*" not in text), st.text(), st.text())
def test_no_form_of_a_secret_is_left(secret, before, after):
    """As it is, in a repr, in JSON, in a URL, on one line."""
    secrets = texts_of([secret])
    for form in (secret, repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        masked = mask(f"{before}\n{form}\n{after}", secrets)
        assert STARS in masked
        assert secret in f"{before}\n\n{after}" or secret not in masked


def test_data_has_stars_at_any_depth():
    """Texts, names, and numbers of four digits or more; None and bools are no secrets."""
    secrets = texts_of([{"a": "pass-word", "b": [1234, None, True, 7]}])
    assert secrets == {"pass-word", "1234", "7"}
    data = {"x": ["pass-word!", 1234, 7, True, None], "pass-word": 1234.0}
    assert mask_data(data, secrets) == {"x": ["***!", "***", 7, True, None], "***": 1234.0}
    assert mask_data(data, NO_SECRETS) is data


def test_a_path_has_stars():
    """The value is not changed; a name with dots wins; a path that leads nowhere changes nothing."""
    data = {"a": {"b": 1, "c": [{"d": 2}]}, "a.c": 3}
    assert mask_path(data, "a.b") == {"a": {"b": "***", "c": [{"d": 2}]}, "a.c": 3}
    assert mask_path(data, "a.c") == {"a": {"b": 1, "c": [{"d": 2}]}, "a.c": "***"}
    assert mask_path(data, "a.c.0.d") == {"a": {"b": 1, "c": [{"d": "***"}]}, "a.c": 3}
    assert mask_path(data, "a.x.y") == data
    assert data["a"]["b"] == 1


def test_a_digest_tells_values_apart():
    """And tells nothing else."""
    assert digest_of("a") == digest_of("a") != digest_of("b")
    assert digest_of("1") != digest_of(1)
    assert KEY not in digest_of(KEY)


# -------------------------------------------------------------------- of a class


def test_a_class_says_which_fields():
    """A field that is declared anew stays redacted; the class of the base knows nothing of it."""
    assert secrets_of(Ask(api_key=KEY)) == secrets_of(Milder(api_key=KEY)) == {KEY}
    assert not secrets_of(Event())


def test_the_repr_does_not_tell():
    """Nor that of another event."""
    assert KEY not in repr(Ask(api_key=KEY))


def test_to_dict_round_trips():
    """It has the value: an event is made again of it."""
    event = Ask(api_key=KEY)
    assert Ask.from_dict(event.to_dict("json")).api_key == KEY
    assert KEY not in json.dumps(event.to_dict("json", exclude={"api_key"}), ensure_ascii=False)


def quoted(text):
    """Return the parts of the secret that a text quotes."""
    return [form for form in (KEY, "sk-SECRET", quote(KEY)) if form in text]


@pytest.mark.parametrize("backend", BACKENDS)
def test_messages_and_the_log_do_not_quote_it(backend, caplog):
    """The error of a failed event, and the warning of failures that nobody has looked at."""
    caplog.set_level(logging.WARNING)

    async def main():
        async with Executor.of(Ask) as executor:
            await executor.append(Ask(prompt="fail", api_key=KEY))
            seen = await executor.append(Ask(prompt="fail", api_key=KEY))
            await seen.wait()
            with pytest.raises(EventFailed) as caught:
                seen.result()
            good = await executor.invoke(Ask(api_key=KEY))
        return str(caught.value), good

    told, good = run_virtual(main, backend=backend)
    assert "ConnectionError" in told
    assert not quoted(told)
    assert "ConnectionError" in caplog.text
    assert not quoted(caplog.text)
    assert good == {"key": KEY}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limit_shows_a_digest(backend):
    """Its key is only compared; other fields are shown as they are."""

    async def main():
        limits = [Concurrent(1, key="api_key"), Concurrent(5, key="prompt")]
        async with Executor.of(Ask, limits=limits) as executor:
            executor.pause()
            first, second, other = [
                await executor.append(Ask(prompt=text, api_key=key)) for text, key in ("ak", "bk", "cx")
            ]
            executor.resume()
            shown = [executor.explain(event) for event in (first, second, other)]
            return [str(one) for one in shown], str(executor.statistics()), executor.processor.router.route(first).key

    explained, statistics, key = run_virtual(main, backend=backend)
    assert key[-2:] == (digest_of("k"), "a")
    assert not any(f"'{one}'" in text for one in "kx" for text in [*explained, statistics])


class ByKey(Processor):
    """Has a partition for each secret."""

    event_type = Ask

    def partition(self, event):
        return event.api_key


class ByKeyExecutor(Executor):
    """Likewise."""

    processor_type = ByKey


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_that_give_the_secret_as_a_key_do_not_show_it(backend, caplog):
    """Of a limit, alone or with other things, and of a partition; in the log, statistics() and explain()."""
    caplog.set_level(logging.WARNING)

    class Refused(Ask):
        """Is refused for an hour."""

        async def _invoke(self):
            raise RateLimited("429", retry_after=3600)

    limits = [
        Concurrent(9, key=lambda event: event.api_key),
        Concurrent(9, key=lambda event: (event.prompt, f"Bearer {event.api_key}")),
        Concurrent(9, key=lambda event: event.prompt),
    ]

    async def main():
        async with ByKeyExecutor({"queue_capacity": 100, "capacity_refresh_time": 1, "limits": limits}) as executor:
            event = await executor.append(Refused(prompt="p", api_key=KEY))
            other = await executor.append(Refused(prompt="q", api_key="another key"))
            await anyio.sleep(10)
            told = [str(executor.explain(event)), str(executor.statistics()), caplog.text]
            executor.cancel(event)
            executor.cancel(other)
        return told, view_of(executor).processor.keyed_limit_states

    told, number = run_virtual(main, backend=backend)
    assert all("redacted:" in text and not quoted(text) and "another key" not in text for text in told)
    assert "'p'" in told[1]
    assert number == 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_journal_keeps_it_in_its_data_only(backend, tmp_path):
    """The event comes back whole; errors and the trail have stars."""

    async def main():
        async with Executor.of(Ask, journal=Journal(tmp_path / "run.db"), retry=None) as executor:
            await executor.append(Ask(prompt="fail", api_key=KEY))
            event = await executor.append(Ask(prompt="p", api_key=KEY))
            await executor.join()
            return (await executor.get(event.id)).api_key

    assert run_virtual(main, backend=backend) == KEY
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
        rows = connection.execute("SELECT event, outcome, attempts FROM event ORDER BY seq").fetchall()
        steps = connection.execute("SELECT error FROM transition WHERE error IS NOT NULL").fetchall()
    assert json.loads(rows[0][0])["redact"] == ["api_key"]
    assert b"ConnectionError" in rows[0][1]
    assert not quoted(rows[0][1].decode())
    assert steps
    assert not quoted(str(steps))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_reason_of_a_pause_does_not_quote_it(backend, caplog):
    """Neither what is logged nor what statistics() tells."""
    caplog.set_level(logging.WARNING)

    class Limited(Event):
        api_key: str = attrs.field(default="", metadata={"redact": True})

        async def _invoke(self):
            raise RateLimited(f"{self.api_key} is over its quota", retry_after=3600)

    async def main():
        async with Executor.of(Limited, limits=Concurrent(1, key="api_key")) as executor:
            event = await executor.append(Limited(api_key=KEY))
            await anyio.sleep(10)
            (pause,) = executor.statistics().pauses
            executor.cancel(event)
        return pause

    pause = run_virtual(main, backend=backend)
    assert (pause.reason, pause.key) == ("*** is over its quota", digest_of(KEY))
    assert "is over its quota" in caplog.text
    assert not quoted(caplog.text)


def test_a_refusal_of_a_journal_does_not_quote_it():
    """It names the field."""
    plan = pytest.importorskip("lionpride_exec._journal.class_codec").ClassCodec(Ask, "tests.redact.ask")
    with pytest.raises(ValidationError, match="Ask.api_key cannot be kept in a journal") as caught:
        plan.encode(Ask(api_key=object()))
    assert "object at" not in str(caught.value)
