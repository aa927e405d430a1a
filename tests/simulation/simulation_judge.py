"""Says what is wrong with a run that is over: what was lost, done twice, or ended for no reason."""

import sqlite3
from contextlib import closing

from simulation_driver import read_rows
from simulation_schedule import schedules

from lionpride_exec import EventStatus, Wait
from lionpride_exec.testing import Cancellation, Failure, InvariantBroken

TERMINAL = {status for status in EventStatus if status.is_terminal}


def judge(driver):
    """Give what is wrong, in words."""
    problems = []
    for record in driver.records:
        try:
            for broken in record.broken:
                if not _is_explained(driver, broken.invariant):
                    raise broken
        except InvariantBroken as exc:
            problems.append("\n".join([f"{exc.invariant}: {exc}", *getattr(exc, "__notes__", ())]))
    checks = [each_ends_once, each_end_has_a_reason, nothing_is_left_of_the_refused, watchers_miss_nothing, chunks]
    checks += [surroundings, schedules, what_expired_never_ran, failures_are_tried_again, closed_gates_are_left_alone]
    checks += [what_was_abandoned_does_not_begin, pipelines_lose_nothing]
    if driver.setup.journal is not None:
        checks += [nothing_acknowledged_is_lost, nothing_final_runs_again, the_file_is_whole]
    for check in checks:
        problems += [f"{check.__name__}: {problem}" for problem in check(driver)]
    return problems


def _is_explained(driver, invariant):
    """Whether an invariant may be broken for once: order, while somebody who is asked about waits for a lock."""
    return invariant == "order" and any(move.what in {"lock", "cleanup"} for move in driver.workload.moves)


def each_ends_once(driver):
    """An event that was taken has ended, once, however often the process died."""
    ends = {}
    for _, _, event, _, status in driver.trace:
        if status in TERMINAL:
            ends.setdefault(event.id, []).append(status)
    for event_id, event in driver.taken.items():
        known = ends.get(event_id, [])
        # A crash may take an end back that was not written, and keep one that was not told yet.
        if len(known) != 1 and not driver.crashes:
            yield f"{event} {event.name} ended {len(known)} times: {known}; it is {event.status}"


def each_end_has_a_reason(driver):
    """A status says what has happened."""
    for _, _, event, _, status in driver.trace:
        if status in TERMINAL and not any(_reasons(driver, event, status)):
            bodies = driver.bodies.get(event.id)
            yield f"{event.name} is {status}, and nothing was why: {bodies}, {event.execution.error!r}"


def _reasons(driver, event, status):
    work, bodies = driver.works[event.name], driver.bodies.get(event.id, ["never"])
    injected = [one.fault for one in driver.plan.injected if one.label == event.name]
    match status:
        case EventStatus.COMPLETED:
            yield bodies[-1] == "returned" or ("returned" in bodies and driver.crashes)  # a crash may take an end back
        case EventStatus.FAILED:
            yield bodies[-1] in ("ValueError", "InjectedFailure")
            yield any(isinstance(fault, Failure) for fault in injected)
            yield len(driver.crashes) >= 5 or driver.workload.has_native_faults
        case EventStatus.CANCELLED:
            has_timeout = work.timeout is not None or driver.workload.setup.timeout is not None
            yield event.id in driver.told or event.id in driver.abandoned or has_timeout or driver.is_interrupted
            yield any(isinstance(fault, Cancellation) for fault in injected)
            yield driver.workload.has_native_faults or _is_of_map(driver, event)
        case EventStatus.SKIPPED:
            yield bodies[-1] == "Skip" or event.id in driver.told or bool(work.after)
            yield _has_expired(event) and work.expires is not None
        case EventStatus.ABORTED:
            yield driver.setup.gate


def _has_expired(event):
    return "It expired" in str(event.execution.error)


def what_expired_never_ran(driver):
    """Only what has not begun expires; a crash may take a start back."""
    for _, _, event, _, status in driver.trace:
        if status is EventStatus.SKIPPED and _has_expired(event) and event.execution.attempts:
            yield f"{event.name} expired after {len(event.execution.attempts)} runs"


def what_was_abandoned_does_not_begin(driver):
    """The caller has gone, and his event with him; but a crash may take that back."""
    for _, at, event, _, status in driver.trace:
        gone = driver.abandoned.get(event.id)
        if gone is not None and status is EventStatus.PROCESSING and at > gone and not driver.crashes:
            yield f"{event.name} was abandoned at {gone}, and begins at {at}"


def pipelines_lose_nothing(driver):
    """From the end comes an event for each item: that of the last stage, or the one that did not complete before."""
    for caller, came in driver.piped:
        wanted = sorted(work.name for work in caller.works)
        if sorted(name.removesuffix("+") for name in came) != wanted:
            yield f"of {wanted} came {came}"


def surroundings(driver):
    """Each run is within the lifespan, its timeout and the middleware, and sees the variable of its caller."""
    yield from driver.misplaced


def _is_of_map(driver, event):
    """Whether the loop over a map may have been left early, which cancels its events."""
    work = driver.works[event.name]
    return any(
        caller.way in {"map", "pipeline"} and any(work in (one, one.then) for one in caller.works)
        for caller in driver.workload.callers
    )


def nothing_is_left_of_the_refused(driver):
    """An event that was not taken is as before."""
    moved = {event.id for _, _, event, _, _ in driver.trace}
    for event in driver.refused:
        if event.id in driver.told or driver.crashes:  # by somebody who saw it on its way; or it was on disk just then
            continue
        if event.id in moved or event.status is not EventStatus.PENDING or event in driver.executor:
            yield f"{event.name} was refused, and is {event.status}"


def watchers_miss_nothing(driver):
    """A watcher that makes others wait sees each transition, in order, as long as it watches."""
    for life, first, seen in driver.watched:
        made = [(event.name, previous, status) for at, _, event, previous, status in driver.trace[first:] if at == life]
        if seen != made[: len(seen)]:
            yield f"seen were {seen}, made {made}"


def chunks(driver):
    """A reader that came to the end of an event that completed got each chunk of its last run."""
    for event, got in driver.read:
        wanted = driver.works[event.name].chunks
        if event.status is EventStatus.COMPLETED and got[len(got) - wanted :] != list(range(wanted)):
            yield f"{event.name}: {got} of {wanted}"


def failures_are_tried_again(driver):
    """
    What fails has been run as often as its retry says.

    But for what a reader has taken, and for what fails while it is being cancelled. Crashes count too.
    """
    for _, _, event, _, status in driver.trace:
        work = driver.works[event.name]
        attempts = work.attempts or driver.setup.attempts or 1
        is_excused = (work.ends == "streams" and work.reader is not None) or driver.crashes
        is_excused = is_excused or event.id in driver.told
        if status is EventStatus.FAILED and event.execution.attempt < attempts and not is_excused:
            yield f"{event.name} was given up after {event.execution.attempt} of {attempts} runs"


def closed_gates_are_left_alone(driver):
    """While a gate is closed nobody of its partition is asked; a stop or a batch opens it."""
    is_failing = "gate:after" in driver.plan.faults  # then not all its answers count
    if is_failing or any(move.what in {"stop", "forward"} for move in driver.workload.moves):
        return
    # An answer about an event that has ended while it was asked about closes nothing.
    ended = {event.name for _, _, event, before, now in driver.trace if (before, now in TERMINAL) == ("pending", True)}
    closed = {}
    for life, at, name, answer in driver.answers:
        lane = driver.works[name].lane
        if at < closed.get((life, lane), 0) - 1e-6:
            yield f"somebody of {lane} is asked at {at}, closed until {closed[life, lane]}"
        if name in ended:
            continue
        if isinstance(answer, Wait):
            closed[life, lane] = at + answer.seconds
        elif answer is False:
            closed[life, lane] = at + driver.setup.refresh


# -------------------------------------------------------------------- with a journal


def nothing_acknowledged_is_lost(driver):
    """What append() has acknowledged is in the file that a crash leaves; with a strict journal each end as well."""
    for crash in driver.crashes:
        known = crash.rows
        for event_id in crash.taken - known.keys():
            yield f"{driver.taken[event_id].name} was acknowledged, and is not in the file after {crash.point}"
        if driver.setup.journal == "strict":
            for _, _, event, _, status in driver.trace[: crash.length]:
                is_written = event.id not in driver.unwritten
                if status in TERMINAL and is_written and known.get(event.id, status) != status:
                    yield f"{event.name} was {status}, and after {crash.point} it is {known[event.id]}"


def nothing_final_runs_again(driver):
    """What has ended on disk does not run, or end, again after a crash."""
    for crash in driver.crashes:
        final = {event_id for event_id, status in crash.rows.items() if EventStatus(status) in TERMINAL}
        for _, _, event, _, status in driver.trace[crash.length :]:
            if event.id in final:
                yield f"{event.name} had ended on disk at {crash.point}, and became {status}"


def the_file_is_whole(driver):
    """In the end all in the file is final, and counted; what the file says is what was seen last."""
    with closing(sqlite3.connect(driver.path)) as connection:
        for (told,) in connection.execute("PRAGMA integrity_check"):
            if told != "ok":
                yield told
        tally = dict(connection.execute("SELECT status, events FROM tally WHERE events <> 0"))
        counted = dict(connection.execute("SELECT status, count(*) FROM event GROUP BY status"))
    if tally != counted:
        yield f"it counts {tally}, and has {counted}"
    last = {event.id: status for _, _, event, _, status in driver.trace}
    rows = read_rows(driver.path)
    for event_id, event in driver.taken.items():
        status = rows.get(event_id)
        if status is None or EventStatus(status) not in TERMINAL or (not driver.crashes and status != last[event_id]):
            yield f"{event.name} was {last.get(event_id)}, and stands there as {status}"
