"""What all errors of the package have in common, and what some have beyond that."""

import copy
import pickle
from uuid import UUID

import pytest

from lionpride_exec import EventStatus, errors

ID = UUID(int=5)
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.LionprideError) and value is not errors.InvalidTransition
]
COPIES = {"pickle": lambda error: pickle.loads(pickle.dumps(error)), "copy": copy.copy, "deepcopy": copy.deepcopy}  # noqa: S301  of our own making


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cls", CLASSES)
def test_copies_keep_everything(cls, make_copy):
    """Class, message, details and retryable survive, against the defaults of the class."""
    error = cls("no", details={"a": [1]}, retryable=not cls.default_retryable)
    again = make_copy(error)
    assert type(again) is cls
    assert str(again) == again.message == "no"
    assert again.details == {"a": [1]}
    assert again.retryable is not cls.default_retryable


@pytest.mark.parametrize("cls", CLASSES)
def test_nothing_given_is_the_default_of_the_class(cls):
    """No message and an empty one are the same; str() is plain, whatever builtin the class is too."""
    assert str(cls()) == str(cls("")) == cls.default_message
    assert cls().to_dict() == {
        "error": cls.__name__,
        "message": cls.default_message,
        "retryable": cls.default_retryable,
    }


def test_the_dict_is_no_door_to_the_error():
    """Changing what to_dict() gives changes nothing."""
    error = errors.ExecutionError("no", details={"a": 1})
    error.to_dict()["details"]["a"] = 2
    assert error.details == {"a": 1}


def test_a_setup_error_is_what_python_would_have_raised():
    """Missing keywords, bad values and missing attributes are all ConfigurationError."""
    for builtin in (TypeError, ValueError, AttributeError):
        with pytest.raises(builtin, match="no processor"):
            raise errors.ConfigurationError("no processor")


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_a_failed_event_is_named(make_copy):
    """event_id and status survive."""
    error = make_copy(errors.EventFailed("no", event_id=ID, status=EventStatus.ABORTED))
    assert (error.event_id, error.status, str(error)) == (ID, EventStatus.ABORTED, "no")


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_an_invalid_transition_is_told_in_a_sentence(make_copy):
    """Made of the attributes, which survive."""
    error = make_copy(errors.InvalidTransition(ID, EventStatus.COMPLETED, EventStatus.PENDING))
    assert str(error) == error.message == f"event {ID} cannot go from completed to pending"
    assert (error.item_id, error.previous, error.target) == (ID, EventStatus.COMPLETED, EventStatus.PENDING)
    assert error.retryable is False


def test_an_error_of_a_journal_has_the_name_of_the_original():
    """As data, it says what the original would say, before and after a restart."""
    kept = errors.RemoteError("no route", "app.net.NoRoute", "Traceback ...", retryable=False, details={"host": "a"})
    told = {"error": "NoRoute", "message": "no route", "retryable": False, "details": {"host": "a"}}
    assert kept.to_dict() == told
    assert errors.RemoteError("gone").to_dict() == {"error": "RemoteError", "message": "gone", "retryable": True}
