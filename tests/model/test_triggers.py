"""When the runs of schedules are due: what each trigger answers."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st
from parts import triggers

from lionpride_exec.testing import run

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clocks are set by half an hour
APIA = ZoneInfo("Pacific/Apia")  # where 30 December 2011 was left out


def passed(trigger, since, until):
    """Give how many due times have passed, and the last of them."""
    found = run(triggers.due_times, trigger, since, until)
    return found.count, found.last


def from_then_on(trigger, moment):
    """Give the due times after a moment."""
    while (moment := trigger.after(moment)) is not None:
        yield moment


# -------------------------------------------------------------------- equal distances


@given(
    period=st.floats(0.001, 1e9) | st.sampled_from([0.1, 1 / 3, 0.7, 7.7, 60, 86_400.5]),
    anchor=st.floats(0, 1e7) | st.floats(1.7e9, 2e9),
    first=st.integers(0, 10**6),
)
def test_each_due_time_of_every_is_the_next_one(period, anchor, first):
    """N periods have n due times, in order, whichever of them is asked for first: also where a restart goes on."""
    every = triggers.Every(period)
    every.anchor = anchor
    expected = [anchor + number * period for number in range(first, first + 12)]
    assert list(islice(from_then_on(every, expected[0]), 11)) == expected[1:]
    again = triggers.Every(period)
    again.anchor = anchor
    assert again.after(expected[5]) == expected[6]
    assert passed(every, expected[0], expected[-1]) == (11, expected[1:])


# -------------------------------------------------------------------- crontab expressions

field = st.one_of(
    st.just("*"),
    st.integers(2, 9).map("*/{}".format),
    st.integers(0, 4).map(str),
    st.tuples(st.integers(0, 59), st.integers(0, 59)).map(lambda two: f"{two[0]},{two[1]}"),
)
hour = st.one_of(st.just("*"), st.just("*/2"), st.integers(0, 4).map(str), st.just("1,3"), st.just("2-4"))


@given(minute=field, hour=hour, evening=st.sampled_from([(2026, 3, 28), (2026, 10, 24)]), minutes=st.integers(0, 600))
def test_cron_does_as_cronsim_does(minute, hour, evening, minutes):
    """With five fields, in a zone whose clocks are set by an hour. Times that cronsim repeats count once."""
    expression = f"{minute} {hour} * * *"
    start = datetime(*evening, 20, tzinfo=UTC)
    expected = []
    for found in CronSim(expression, start.astimezone(BERLIN)):
        if not expected or found.timestamp() > expected[-1]:
            expected.append(found.timestamp())
        if len(expected) == 40:
            break
    cron = triggers.Cron(expression, BERLIN)
    assert list(islice(from_then_on(cron, start.timestamp()), 40)) == expected
    moment = start.timestamp() + 60 * minutes + 0.5
    assert cron.after(moment) == next((each for each in expected if each > moment), cron.after(moment))
    assert cron.after(moment) > moment


NIGHTS = [
    # Six fields do as five do.
    (BERLIN, (2026, 3, 28, 12), "0 30 2 * * *", ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]),
    (BERLIN, (2026, 10, 24, 12), "0 30 2 * * *", ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]),
    (BERLIN, (2026, 3, 28, 12), "*/20 30 2 * * *", ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]),
    # Begun in the hour that comes again: what was due in the first of the two is over.
    (BERLIN, (2026, 10, 25, 1, 10), "30 2 * * *", ["10-26T02:30:00+01:00", "10-27T02:30:00+01:00"]),
    (BERLIN, (2026, 10, 25, 1, 10), "30 * * * *", ["10-25T02:30:00+01:00", "10-25T03:30:00+01:00"]),
    # Clocks that are set by half an hour.
    (
        LORD_HOWE,
        (2026, 4, 4, 14),
        "*/20 1,2 * * *",
        ["04-05T01:20:00+11:00", "04-05T01:40:00+11:00", "04-05T01:40:00+10:30", "04-05T02:00:00+10:30"],
    ),
    (LORD_HOWE, (2026, 4, 4, 12), "0 0 2 * * *", ["04-05T02:00:00+10:30", "04-06T02:00:00+10:30"]),
    (LORD_HOWE, (2026, 10, 3, 12), "15 2 * * *", ["10-04T02:30:00+11:00", "10-05T02:15:00+11:00"]),
    (LORD_HOWE, (2026, 10, 3, 12), "*/20 2 * * *", ["10-04T02:40:00+11:00", "10-05T02:00:00+11:00"]),
    # A day that is left out is made up for once.
    (
        APIA,
        (2011, 12, 29, 12),
        "0 9,12 * * *",
        ["12-29T09:00:00-10:00", "12-29T12:00:00-10:00", "12-31T00:00:00+14:00"],
    ),
]


@pytest.mark.parametrize(("zone", "start", "expression", "expected"), NIGHTS)
def test_nights_in_which_the_clocks_are_set(zone, start, expression, expected):
    """Nothing is lost, and nothing comes twice that is due at one time of the day."""
    found = islice(
        from_then_on(triggers.Cron(expression, zone), datetime(*start, tzinfo=UTC).timestamp()), len(expected)
    )
    assert [datetime.fromtimestamp(each, zone).isoformat()[5:] for each in found] == expected


@given(
    minute=st.sampled_from(["*", "*/7", "*/10"]),
    hour=hour,
    zone=st.sampled_from([BERLIN, LORD_HOWE]),
    start=st.sampled_from([(2026, 3, 28, 22), (2026, 10, 24, 22), (2026, 4, 4, 12), (2026, 10, 3, 12)]),
)
def test_cron_is_due_whenever_the_clocks_show_it(minute, hour, zone, start):
    """If the minutes begin with a star. Compared with a look at the clocks each minute."""
    start = int(datetime(*start, tzinfo=UTC).timestamp())
    wanted = CronSim(f"{minute} {hour} * * *", datetime(2026, 1, 1, tzinfo=UTC))
    clocks = ((moment, datetime.fromtimestamp(moment, zone)) for moment in range(start + 60, start + 18_000, 60))
    expected = [at for at, shown in clocks if shown.minute in wanted.minutes and shown.hour in wanted.hours]
    assert list(islice(from_then_on(triggers.Cron(f"{minute} {hour} * * *", zone), start), len(expected))) == expected


# -------------------------------------------------------------------- functions, and what was answered


class Holidays:
    """A calendar of the user."""

    def after(self, moment, days=1):
        """Return a later day."""
        return moment + timedelta(days=days)


def later(seconds, moment, **_):
    """Return a later time."""
    return moment + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (triggers.Every(1_209_600), triggers.Every(1_209_605), "every 1209600 s"),
        (triggers.Every(60), triggers.Every(60.000_000_1), "every 60 s"),
        (triggers.Custom(partial(later, 5)), triggers.Custom(partial(later, 6)), "trigger later(5)"),
        (
            triggers.Custom(partial(later, 5, zone="a")),
            triggers.Custom(partial(later, 5, zone="b")),
            "trigger later(5, zone='a')",
        ),
        (
            triggers.Custom(partial(Holidays().after, days=2)),
            triggers.Custom(Holidays().after),
            "trigger Holidays.after(days=2)",
        ),
    ],
)
def test_each_trigger_has_its_own_text(one, other, text):
    """A journal knows a trigger by it. It has no address of an object in memory, which the next process has not."""
    assert str(one) == text
    assert str(other) != text


def test_a_trigger_is_asked_once():
    """Also if it would answer otherwise the next time."""
    asked = []

    def once(after):
        asked.append(after)
        return after + timedelta(seconds=len(asked))

    answers = triggers.Answers(triggers.Custom(once), "report")
    assert passed(answers, 1000.0, 1003.0) == passed(answers, 1000.0, 1003.0) == (2, [1001.0, 1003.0])
    assert len(asked) == 3
    answers.forget_before(1003.0)
    assert answers.after(1003.0) == 1006.0
    assert len(asked) == 3


@pytest.mark.parametrize("answer", [0, -5, None])
def test_the_last_due_times_of_a_trigger_that_answers_otherwise(answer):
    """The due times end where the trigger has none, or fails. The last 1,000 are known, and the one before these."""
    asked = []

    def forgetful(after):
        asked.append(after)
        if len(asked) <= 2000:
            return after + timedelta(seconds=1)
        return None if answer is None else after + timedelta(seconds=answer)

    found = passed(triggers.Answers(triggers.Custom(forgetful), "report"), 0.0, 1e6)
    assert found == (2000, [float(each) for each in range(1000, 2001)])


def test_more_due_times_than_are_counted(monkeypatch):
    """Of these, the last are looked for back from the end."""
    monkeypatch.setattr(triggers, "MAX_COUNT", 3000)
    trigger = triggers.Custom(lambda after: after + timedelta(seconds=1))
    assert passed(trigger, 0.0, 1e6) == (3000, [float(each) for each in range(1_000_000 - 1000, 1_000_001)])
