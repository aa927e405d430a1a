"""The reader of a journal: what it tells, while somebody writes, and of files that are none."""

import sqlite3
import tracemalloc
from contextlib import closing
from random import Random

import pytest
from journal_files import T0, add_event, add_step, empty_journal, error_outcome, event_id, fill, make_journal
from parts import journal_reader

from lionpride_exec.errors import JournalError, NotFoundError

CHUNK = journal_reader.CHUNK
CHUNK_BYTES = journal_reader.CHUNK_BYTES
JournalReader = journal_reader.JournalReader
STRIDE = journal_reader.STRIDE
VERSION = int.from_bytes(empty_journal()[60:64])  # SQLite's user_version

MAX_GROUPS = 10_000  # kinds of errors that an overview tells apart


@pytest.fixture
def path(tmp_path):
    """A place for a journal."""
    return tmp_path / "run.db"


@pytest.fixture
def filled(path):
    """A journal with an event of each kind."""
    fill(path)
    return path


@pytest.fixture
def writer(path):
    """A connection that writes to an empty journal."""
    with closing(make_journal(path)) as connection:
        yield connection


# -------------------------------------------------------------------- counts and overview


def test_counts_have_all_statuses(filled):
    """The seven and held, those with no event included."""
    with JournalReader(filled) as reader:
        counts = reader.counts()
    assert counts == {
        "pending": 1,
        "processing": 1,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
        "skipped": 0,
        "aborted": 1,
        "held": 1,
    }


def test_what_has_ended_is_not_counted_anew(writer, path):
    """The tally says it: counts() does not look at those rows."""
    add_event(writer, 1, "completed")
    writer.execute("UPDATE tally SET events = 1000000")
    with JournalReader(path) as reader:
        assert reader.counts()["completed"] == 1_000_000


def test_the_overview(filled):
    """Rates, slowest first, errors, what waits and what runs, sizes."""
    with JournalReader(filled) as reader:
        seen = reader.overview(now=T0 + 64.5)
    assert (seen.at, seen.counts["held"]) == (T0 + 64.5, 1)
    assert (seen.last_minute, seen.last_hour) == (2, 3)
    assert seen.rate == pytest.approx(3 / 10)  # from the first queued, T0 + 1, to the last finished, T0 + 11
    assert [(one.seq, one.tag, one.status, one.duration) for one in seen.slowest] == [
        (2, "Fetch", "failed", 5.0),
        (1, "Fetch", "completed", 2.0),
    ]
    assert [(one.status, one.type, one.message, one.count, one.example_seq) for one in seen.errors] == [
        ("failed", "ValueError", "bad", 1, 2),
        ("aborted", "Deny", "closed", 1, 6),
    ]
    assert seen.errors[0].example_id == event_id(2).bytes
    assert (seen.oldest_pending.seq, seen.oldest_pending.age) == (4, 60.5)
    assert [(one.seq, one.tag, one.since, one.age) for one in seen.running] == [(3, "Send", T0 + 20, 44.5)]
    assert seen.file_bytes == filled.stat().st_size


def test_the_overview_of_nothing(writer, path):
    """An empty journal has no rate and nothing to name."""
    writer.execute(f"PRAGMA user_version = {VERSION}")  # so that the log has something
    with JournalReader(path) as reader:
        seen = reader.overview()
    assert (seen.rate, seen.oldest_pending, seen.running, seen.slowest, seen.errors) == (None, None, (), (), ())
    assert seen.wal_bytes > 0


def letters(number):
    """Return a number in letters, which are not one of the numbers that errors of one shape may differ in."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def test_top_bounds_what_is_named(writer, path):
    """The most frequent errors, the slowest, those that run longest; the rest is counted."""
    for seq in range(1, 8):
        add_event(writer, seq, "failed", outcome=error_outcome("E", "often" if seq % 2 else f"no {letters(seq)}"))
        add_event(writer, 10 + seq, "completed", outcome={"duration": float(seq)})
        add_event(writer, 20 + seq, "processing", started=T0 - seq)
    with JournalReader(path) as reader:
        seen = reader.overview(top=2)
        none = reader.overview(top=0)
    assert [(one.message, one.count) for one in seen.errors] == [("often", 4), ("no c", 1)]
    assert seen.other_errors == 2
    assert [one.duration for one in seen.slowest] == [7.0, 6.0]
    assert [one.seq for one in seen.running] == [27, 26]
    assert (none.errors, none.other_errors, none.slowest, none.running) == ((), 7, (), ())


def test_errors_of_one_shape_count_together(writer, path):
    """URLs and numbers may differ. Errors with another status code behind them are counted apart."""
    for seq, code in enumerate([503, 503, 404, None, 503], 1):
        outcome = error_outcome("HTTPStatusError", f"HTTP {code} for https://example.org/items/{seq}\nmore {seq}")
        outcome["error"]["details"] = {} if code is None else {"status_code": code}
        add_event(writer, seq, "failed", outcome=outcome)
    with JournalReader(path) as reader:
        errors = reader.overview().errors
    assert [(one.message, one.status_code, one.count, one.example_seq) for one in errors] == [
        ("HTTP <n> for <url>", 503, 3, 1),
        ("HTTP <n> for <url>", 404, 1, 3),
        ("HTTP None for <url>", None, 1, 4),
    ]


def test_a_frequent_error_is_found_among_many_rare_ones(writer, path):
    """Also if it comes last; what was given up is counted."""
    writer.execute("BEGIN")
    for seq in range(1, MAX_GROUPS + 2):
        add_event(writer, seq, "failed", outcome=error_outcome("Rare", f"no {letters(seq)}"))
    for seq in range(MAX_GROUPS + 2, MAX_GROUPS + 12):
        add_event(writer, seq, "failed", outcome=error_outcome("Often", "late"))
    writer.execute("COMMIT")
    with JournalReader(path) as reader:
        seen = reader.overview(top=1)
    assert [(one.type, one.count) for one in seen.errors] == [("Often", 10)]
    assert seen.other_errors == MAX_GROUPS + 1


def test_what_cannot_be_read_is_passed_over_by_the_overview(writer, path):
    """An outcome or envelope that is no JSON; the rest counts."""
    add_event(writer, 1, "failed", finished=T0, outcome={"duration": 1.0}, event=b"{")
    writer.execute("INSERT INTO event (seq, id, event, status, outcome) VALUES (2, x'00', x'ff', 'failed', x'7b')")
    with JournalReader(path) as reader:
        seen = reader.overview(now=T0)
    assert [(one.seq, one.tag) for one in seen.slowest] == [(1, None)]


# -------------------------------------------------------------------- events


def test_events_come_in_order_of_arrival(filled):
    """All of them, or of some statuses, or of some classes."""
    with JournalReader(filled) as reader:
        assert [row.seq for row in reader.events()] == [1, 2, 3, 4, 5, 6]
        assert [row.seq for row in reader.events({"failed", "held"})] == [2, 5]
        assert [row.seq for row in reader.events(tags=["Send"])] == [3, 6]
        assert [row.seq for row in reader.events(["aborted"], ["Send"])] == [6]
        assert list(reader.events([])) == []


def test_events_are_read_in_pieces(writer, path):
    """More than are read, or passed over, at once; gaps in the numbers do not matter."""
    writer.execute("BEGIN")
    seqs = [*range(1, 2 * CHUNK + 2), *range(10**9, 10**9 + STRIDE + 1)]
    for seq in seqs:
        add_event(writer, seq, "failed" if seq == seqs[-1] else "pending")
    writer.execute("COMMIT")
    with JournalReader(path) as reader:
        assert [row.seq for row in reader.events()] == seqs
        assert [row.seq for row in reader.events(["failed"])] == seqs[-1:]


def test_events_do_not_fill_the_memory(writer, path):
    """Large ones are read in smaller pieces."""
    for seq in range(1, 41):
        add_event(writer, seq, data={"text": "x" * 1_000_000})
    with JournalReader(path) as reader:
        tracemalloc.start()
        try:
            assert sum(1 for _ in reader.events()) == 40
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * CHUNK_BYTES


def test_between_two_events_nothing_is_held(writer, path):
    """While a consumer takes its time the log can be cleared, and new events are not waited for."""
    for seq in (1, 2):
        add_event(writer, seq)
    with JournalReader(path) as reader:
        events = reader.events()
        assert next(events).seq == 1
        add_event(writer, 3)
        busy, _, _ = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0
        assert [row.seq for row in events] == [2]


# -------------------------------------------------------------------- find


def test_entries_are_pages_in_order_of_arrival(filled):
    """Number, id, key and status of each event, so many at a time."""
    with JournalReader(filled) as reader:
        first, rest = reader.entries(0, 2), reader.entries(2, 100)
        assert [seq for seq, *_ in first + rest] == [row.seq for row in reader.events()]
        assert [entry[1:] for entry in first] == [(row.id, row.key, row.status) for row in reader.rows([1, 2])]
        assert reader.entries(rest[-1][0], 100) == []


def test_rows_by_number(filled):
    """In order of arrival, whatever the order of the numbers; a number of no event is left out."""
    with JournalReader(filled) as reader:
        assert [row.seq for row in reader.rows([3, 1, 999])] == [1, 3]
        assert reader.rows([]) == []


@pytest.mark.parametrize(
    "text",
    ["#2", "2", str(event_id(2)), event_id(2).hex.upper(), "00000002", "00000002-00"],
)
def test_an_event_is_found_by_number_or_id(filled, text):
    """A prefix of four digits or more will do."""
    with JournalReader(filled) as reader:
        assert reader.find(text).seq == 2


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ('"abc"', "abc"),
        ('"abc"', '"abc"'),
        ("17", "17"),
        ('["a",1]', '["a", 1]'),
        ('"é"', "é"),
        ('"1234567"', "1234567"),
    ],
)
def test_an_event_is_found_by_its_key(writer, path, key, text):
    """As a text, or as JSON."""
    add_event(writer, 1, key=key)
    with JournalReader(path) as reader:
        assert reader.find(text).seq == 1


def test_what_is_named_in_whole_wins_over_a_beginning(writer, path):
    """1234 is the number or key of one event, and begins the id of another."""
    add_event(writer, 1234)
    add_event(writer, 1, id=bytes.fromhex("1234" + "0" * 28))
    add_event(writer, 2, id=bytes.fromhex("abcd" + "0" * 28))
    add_event(writer, 3, key='"abcd"')
    with JournalReader(path) as reader:
        assert reader.find("1234").seq == 1234
        assert reader.find("12340").seq == 1
        assert reader.find("abcd").seq == 3


@pytest.mark.parametrize("text", ["7", "#7", "#", "", "000", "ffff", "nothing", "\udcff", "9" * 30, "é", "#00000002"])
def test_what_is_not_there(filled, text):
    """It is told as not found, whatever the text."""
    with JournalReader(filled) as reader:
        if text == "#00000002":
            assert reader.find(text).seq == 2
        else:
            with pytest.raises(NotFoundError, match="no event has the number, id or key"):
                reader.find(text)


def test_what_is_not_unique(filled):
    """The error names some of them, with their keys."""
    with JournalReader(filled) as reader:
        with pytest.raises(NotFoundError) as caught:
            reader.find("0000")
    first = f'#1 {event_id(1)} with the key "first"'
    assert str(caught.value).startswith(f"'0000' means more than one event: {first}, #2 {event_id(2)}, #3 ")
    assert f"#3 {event_id(3)} and others; an event is named by its number, such as #1" in str(caught.value)


def test_a_number_with_a_sign_that_is_also_a_key(writer, path):
    """It is the number if there is such an event, and otherwise the key."""
    for number, key in enumerate(('"#2"', '"line:id:#2"', '"#4"'), 1):
        add_event(writer, number, key=key)
    with JournalReader(path) as reader:
        assert (reader.find("#2").seq, reader.find("#4").seq, reader.find("line:id:#2").seq) == (2, 3, 2)


def test_a_number_that_is_also_a_key(writer, path):
    """The error tells both apart; with # it is the number."""
    add_event(writer, 1, key='"2"')
    add_event(writer, 2)
    with JournalReader(path) as reader:
        both = f'#1 {event_id(1)} with the key "2", #2 {event_id(2)};'
        with pytest.raises(NotFoundError, match=f"'2' means more than one event: {both}"):
            reader.find("2")
        assert reader.find("#2").seq == 2


# -------------------------------------------------------------------- transitions


def test_the_history_of_an_event(filled):
    """Its transitions only, oldest first."""
    with JournalReader(filled) as reader:
        steps = reader.history(2)
        assert [(step.status, step.attempt, step.error) for step in steps] == [
            ("pending", 0, None),
            ("processing", 1, None),
            ("pending", 1, "OSError: gone"),
            ("failed", 2, "ValueError: bad value"),
        ]
        assert {(step.id, step.tag) for step in steps} == {(event_id(2).bytes, "Fetch")}
        assert reader.history(99) == []


def lines_of(connection, seq):
    """Return the numbers of the lines of an event, by a search through all lines."""
    return [n for (n,) in connection.execute("SELECT n FROM transition WHERE seq = ? ORDER BY n", (seq,))]


def add_lines(connection, seqs):
    """Write a line for each of these events."""
    rows = ((seq, T0, "c", 1) for seq in seqs)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO transition (seq, at, status, attempt) VALUES (?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


@pytest.mark.parametrize("spread", [10, 3000, 100_000])
def test_a_long_history_has_all_lines_of_an_event(path, writer, spread):
    """However far the order of the lines is from that of the events, also of lines that were added since."""
    draw = Random(spread)  # noqa: S311  no secrets
    seqs = [max(n // 3 + draw.randrange(-spread, spread), 1) for n in range(20_000)]
    seqs[12_345] = 7  # far from its other lines
    wanted = [1, 7, 3000, *draw.sample(seqs, 20)]
    add_lines(writer, seqs[:15_000])
    with JournalReader(path) as reader:
        for end in (15_000, 20_000):
            for seq in wanted:
                assert [step.n for step in reader.history(seq)] == lines_of(writer, seq), (end, seq)
            add_lines(writer, seqs[15_000:])


@pytest.mark.parametrize("first", [1, 3000, 4096, 4097, 8193, 11_000])
def test_the_history_after_lines_were_deleted(path, writer, first):
    """The numbers of deleted lines may be given to lines of other events."""
    add_lines(writer, range(1, 12_001))
    with JournalReader(path) as reader:
        assert [step.n for step in reader.history(5000)] == [5000]
        writer.execute("DELETE FROM transition WHERE n >= ?", (first,))
        add_lines(writer, range(90_000, 102_000))
        for seq in (1, 2999, 5000, 90_000, 95_000, 101_999):
            assert [step.n for step in reader.history(seq)] == lines_of(writer, seq), seq


def test_the_last_transitions(filled):
    """By number, or the last so many; of an event that is gone, the number is left."""
    with closing(sqlite3.connect(filled)) as connection:
        add_step(connection, 99, "failed")
        connection.commit()
    with JournalReader(filled) as reader:
        assert reader.last_n() == 6
        assert [step.n for step in reader.transitions(4, 1)] == [5]
        assert [(step.n, step.id, step.tag) for step in reader.transitions(5)] == [(6, None, None)]
        assert [step.n for step in reader.last_transitions(2)] == [5, 6]
        assert reader.last_transitions(0) == []


def test_no_transitions(writer, path):
    """The last number is 0."""
    with JournalReader(path) as reader:
        assert (reader.last_n(), reader.transitions()) == (0, [])


# -------------------------------------------------------------------- somebody writes


def test_an_open_transaction_is_neither_seen_nor_waited_for(writer, path):
    """What was committed last is; after its commit, the rest."""
    add_event(writer, 1)
    with JournalReader(path) as reader:
        writer.execute("BEGIN IMMEDIATE")
        add_event(writer, 2)
        add_step(writer, 2, "pending")
        assert reader.counts()["pending"] == 1
        assert [row.seq for row in reader.events()] == [1]
        assert reader.last_n() == 0
        with pytest.raises(NotFoundError):
            reader.find("#2")
        writer.execute("COMMIT")
        assert reader.counts()["pending"] == 2
        assert reader.find("#2").seq == 2
        assert reader.last_n() == 1


def test_a_question_is_answered_from_one_moment(filled, monkeypatch):
    """What is committed while the overview is made does not mix with it."""
    with closing(sqlite3.connect(filled)) as connection, JournalReader(filled) as reader:
        monkeypatch.setattr(
            "lionpride_exec._journal.overview._Seen.add",
            lambda seen, *row: (connection.execute("DELETE FROM event"), connection.commit()),
        )
        assert reader.overview().counts["processing"] == 1
        assert reader.counts()["processing"] == 0


def test_a_journal_that_a_killed_process_left(writer, path, tmp_path):
    """What only stands in the log is read."""
    add_event(writer, 1)
    (tmp_path / "left").mkdir()
    for suffix in ("", "-wal"):
        (tmp_path / "left" / f"run.db{suffix}").write_bytes((tmp_path / f"run.db{suffix}").read_bytes())
    with JournalReader(tmp_path / "left" / "run.db") as reader:
        assert reader.counts()["pending"] == 1


def test_the_file_is_not_changed(filled):
    """Not one byte, by whatever is asked."""
    before = filled.read_bytes()
    with JournalReader(filled) as reader:
        reader.overview()
        list(reader.events())
        reader.find("#2")
        reader.history(2)
    assert filled.read_bytes() == before


# -------------------------------------------------------------------- files that are none


def other_database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")


def newer(path):
    make_journal(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def cut_off(path):
    fill(path)
    path.write_bytes(path.read_bytes()[:-100])


def cut_off_early(path):
    fill(path)
    path.write_bytes(path.read_bytes()[:1000])


def with_a_damaged_schema(path):
    """SQLite's message about it quotes bytes that are no UTF-8."""
    fill(path)
    damaged = path.read_bytes().replace(b"CREATE INDEX event_bad ", b"CREATE INDEX `vent\xffbad ")
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)


def without_tables(path):
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE tally")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "is a folder, so it is not a journal"),
        (lambda path: path.touch(), "is empty: it is not a journal yet"),
        (lambda path: path.write_bytes(b"no database " * 4096), "is not a SQLite file, so it is not a journal"),
        (lambda path: path.write_text('{"n": 1}\n' * 999), "is not a SQLite file, so it is not a journal"),
        (lambda path: path.write_text("hello"), "is not a SQLite file, so it is not a journal"),
        (other_database, "is a SQLite file, but not a journal"),
        (
            newer,
            f"is of version {VERSION + 1}; this lionpride_exec knows up to {VERSION}",
        ),
        (cut_off, "was cut off"),
        (cut_off_early, "was cut off"),
        (with_a_damaged_schema, "its schema is damaged"),
    ],
)
def test_what_is_no_journal_is_refused(path, make, message):
    """In a sentence that names the file; nothing is made."""
    make(path)
    existed = path.exists()
    with pytest.raises(JournalError) as caught:
        JournalReader(path).open()
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert path.exists() == existed


def test_damage_that_shows_later_is_told(path):
    """Whatever SQLite raises, it is a JournalError."""
    without_tables(path)
    with JournalReader(path) as reader:
        with pytest.raises(JournalError, match=r"run\.db cannot be read: no such table: tally") as caught:
            reader.counts()
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        assert [row.seq for row in reader.events(["failed"])] == [2]


def test_damaged_pages_are_told(path):
    """Pages of rubbish in the middle."""
    fill(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with JournalReader(path) as reader:
        with pytest.raises(JournalError, match="cannot be read: database disk image is malformed"):
            list(reader.events())


def test_a_time_that_is_none_is_told(writer, path):
    """Columns of SQLite take anything."""
    add_event(writer, 1, "failed", finished="yesterday")
    with JournalReader(path) as reader:
        with pytest.raises(JournalError, match="event #1 has a time"):
            reader.overview()


def test_a_reader_that_is_not_open(filled):
    """Before and after; closing it twice is nothing."""
    reader = JournalReader(filled)
    with pytest.raises(JournalError, match="is not open"):
        reader.counts()
    with reader:
        reader.close()
    with pytest.raises(JournalError, match="is not open"):
        reader.counts()
