from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from receptor.netceptor.timers import Timers


def test_keys_come_due_in_the_order_of_their_times() -> None:
    timers = Timers[str]()
    timers.set("late", 3.0)
    timers.set("early", 1.0)
    timers.set("middle", 2.0)
    assert timers.deadline() == 1.0
    assert list(timers.due(2.0)) == ["early", "middle"]
    assert timers.deadline() == 3.0


def test_a_key_has_one_time_the_last_set() -> None:
    timers = Timers[str]()
    timers.set("later", 1.0)
    timers.set("later", 5.0)
    timers.set("earlier", 6.0)
    timers.set("earlier", 2.0)
    assert list(timers.due(4.0)) == ["earlier"]
    assert list(timers.due(10.0)) == ["later"]
    assert timers.deadline() is None


def test_set_earlier_only_ever_brings_forward() -> None:
    timers = Timers[str]()
    timers.set_earlier("key", 2.0)
    timers.set_earlier("key", 3.0)
    assert timers.deadline() == 2.0
    timers.set_earlier("key", 1.0)
    assert timers.deadline() == 1.0


def test_a_cancelled_key_does_not_come_due_and_can_be_set_again() -> None:
    timers = Timers[str]()
    timers.set("key", 1.0)
    timers.cancel("key")
    timers.cancel("never set")
    assert timers.deadline() is None
    timers.set("key", 3.0)
    assert list(timers.due(2.0)) == []
    assert list(timers.due(3.0)) == ["key"]


def test_a_key_may_be_set_again_as_it_comes_due() -> None:
    timers = Timers[str]()
    timers.set("tick", 1.0)
    for key in timers.due(1.5):
        timers.set(key, 2.0)
    assert timers.deadline() == 2.0


steps = st.lists(
    st.tuples(st.sampled_from(["set", "set_earlier", "cancel", "due"]), st.integers(0, 3), st.integers(0, 20)),
    max_size=60,
)


@given(steps)
def test_timers_do_what_a_plain_dictionary_of_times_does(steps: list[tuple[str, int, int]]) -> None:
    timers, model = Timers[int](), dict[int, float]()
    for step, key, when in steps:
        if step == "set":
            timers.set(key, when)
            model[key] = when
        elif step == "set_earlier":
            timers.set_earlier(key, when)
            model[key] = min(when, model.get(key, when))
        elif step == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            fired = list(timers.due(when))
            assert sorted(fired) == sorted(key for key, time in model.items() if time <= when)
            assert [model[key] for key in fired] == sorted(model[key] for key in fired)
            model = {key: time for key, time in model.items() if time > when}
        assert timers.deadline() == min(model.values(), default=None)
