"""An unknown name is refused with the known name that may have been meant."""

import anyio
import pytest

from lionpride_exec import ConfigurationError, Event, Executor, Flow, NotFoundError, Processor, Progression, Rate
from lionpride_exec.testing import FaultPlan
from lionpride_exec.testing.strategies import events


class Fetch(Event):
    """Fetches nothing."""

    url: str
    retries: int = 0

    async def _invoke(self):
        return self.url


class FetchProcessor(Processor):
    event_type = Fetch


class FetchExecutor(Executor):
    processor_type = FetchProcessor


async def _map_wrong_item(executor):
    async for _ in executor.map(Fetch, [{"ulr": "a"}]):
        pass


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("complete", " (did you mean 'completed'?)"),
        ("COMPLETED", " (did you mean 'completed'?)"),
        ("zebra", ""),
        (5, ""),
    ],
)
def test_the_closest_name(status, hint):
    """One name is proposed, whatever its case; none if none is close."""
    with pytest.raises(NotFoundError) as caught:
        FetchExecutor().get_events_by_status(status)
    assert str(caught.value).startswith(f"Status {status!r} not found{hint}; there are pending")


REFUSALS = {
    "keyword of of()": (
        lambda: Executor.of(Fetch, concurency_limit=3),
        ConfigurationError,
        r"unknown keys: concurency_limit \(did you mean 'concurrency_limit'\?\)",
    ),
    "status": (
        lambda: FetchExecutor().get_events_by_status("complete"),
        NotFoundError,
        r"'complete' not found \(did you mean 'completed'\?\)",
    ),
    "dash": (
        lambda: FetchExecutor({"queue-capacity": 3}),
        ConfigurationError,
        r"unknown keys: queue-capacity \(did you mean 'queue_capacity'\?\)",
    ),
    "status of watch()": (
        lambda: FetchExecutor().watch(statuses="failled"),
        NotFoundError,
        r"'failled' not found \(did you mean 'failed'\?\)",
    ),
    "class option": (
        lambda: type("Bad", (Event,), {}, tagg="app.bad"),
        TypeError,
        r"no option tagg= \(did you mean 'tag'\?\); its options: tag, version, on_crash",
    ),
    "field of from_dict()": (
        lambda: Fetch.from_dict({"ulr": "a"}),
        TypeError,
        r"Fetch has no field 'ulr' \(did you mean 'url'\?\); its fields: .*url, retries",
    ),
    "item of map()": (
        lambda: anyio.run(_map_wrong_item, FetchExecutor({"queue_capacity": 9, "capacity_refresh_time": 1})),
        TypeError,
        r"Fetch has no field 'ulr' \(did you mean 'url'\?\)",
    ),
    "progression": (
        lambda: Flow(progressions=[Progression(name="urgent")]).get_progression("urgnt"),
        NotFoundError,
        r"'urgnt' not found in flow \(did you mean 'urgent'\?\)",
    ),
    "limit": (
        lambda: Executor.of(Fetch, limits=Rate(5, per=1, name="api")).pause(limit="apj"),
        ValueError,
        r"no limit 'apj' \(did you mean 'api'\?\)",
    ),
    "fault": (
        lambda: FaultPlan(0, {"gate:befor": []}),
        ValueError,
        r"'gate:befor' is no point \(did you mean 'gate:before'\?\)",
    ),
    "strategy": (lambda: events(Fetch, ulr="a"), TypeError, r"Fetch has no field 'ulr' \(did you mean 'url'\?\)"),
}


@pytest.mark.parametrize("place", REFUSALS)
def test_an_unknown_name_is_refused_with_a_proposal(place):
    """Wherever a name is looked up, the message says which name is close."""
    call, error, message = REFUSALS[place]
    with pytest.raises(error, match=message):
        call()


def test_other_errors_of_a_class_statement_pass():
    """A class with a base that takes keywords of its own may have them; its own errors are not touched."""

    class Coloured:
        def __init_subclass__(cls, colour, **kwargs):
            super().__init_subclass__(**kwargs)
            cls.colour = colour

    class Red(Event, Coloured, colour="red"):
        pass

    assert Red.colour == "red"
    with pytest.raises(TypeError, match="on_crash must be"):
        type("Bad", (Event,), {}, on_crash="rerum")


def test_other_errors_of_fields_pass():
    """A missing field and a wrong value keep their own message."""
    with pytest.raises(TypeError, match="url"):
        Fetch.from_dict({"retries": 3})
    with pytest.raises(ValueError, match="timeout"):
        Fetch.from_dict({"url": "a", "timeout": -1})
