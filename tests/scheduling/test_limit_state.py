"""What is left of a limit, by random uses: each is taken, begun, settled, ended, or undone."""

import attrs
from hypothesis import given
from hypothesis import strategies as st
from parts import scheduling_limit_state

from lionpride_exec import Concurrent, Rate

LIMITS = Rate(20, per=5.0), Rate(20, per=5.0, hold=True), Concurrent(20)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "begin", "end", "undo", "settle", "wait"]), st.integers(0, 9), st.integers(1, 4)
    ),
    max_size=40,
)


@attrs.define
class Use:
    """What a simple model knows of one use."""

    reservation: object
    cost: float
    begun: float | None = None
    ended: float | None = None

    def is_out(self, limit, now):
        """Return whether the cost is out at a time, by the words of the documentation."""
        since = self.ended if limit.hold else self.begun
        return since is None or now < since + limit.per


@given(st.sampled_from(LIMITS), STEPS)
def test_what_is_used_is_the_sum_of_what_is_out(limit, steps):
    """An undone use counts no more, whenever it is undone. All others count until they are back."""
    state, now, open_uses, uses = scheduling_limit_state.LimitState(limit, number=1), 100.0, [], []
    for step, which, amount in steps:
        use = open_uses[which % len(open_uses)] if open_uses else None
        if step == "take":
            use = Use(state.take(amount, now, has_begun=False), amount)
            open_uses.append(use)
            uses.append(use)
        elif step == "wait":
            now += amount / 2
        elif use is None:
            continue
        elif step == "begin" and use.begun is None:
            state.begin(use.reservation, now)
            use.begun = now
        elif step == "settle" and use.is_out(limit, now):
            state.settle(use.reservation, amount)
            use.cost = amount
        elif step == "end" and use.begun is not None:
            state.release(use.reservation, now)
            use.ended = now
            open_uses.remove(use)
        elif step == "undo":
            state.undo(use.reservation, now)
            open_uses.remove(use)
            uses.remove(use)
        out = [use for use in uses if use.is_out(limit, now)]
        assert state.used_at(now) == sum(use.cost for use in out)
        assert state.uses == len(out)
