from __future__ import annotations

from mesh_bench import Bench, Neighbour

HUB = 100


def hub() -> Bench:
    """Many have linked with the bench's node just now."""
    bench = Bench()
    for session in range(1, HUB + 1):
        bench.open(session)
    bench.did()
    for session in range(1, HUB + 1):
        Neighbour(bench, session, f"near{session}").update({})
    return bench


def updates_of_us(bench: Bench) -> list[tuple[float, str]]:
    return [(when, line) for when, line in bench.timeline() if "update of us" in line]


def test_while_many_link_with_us_all_are_told_now_and_then() -> None:
    bench = hub()
    assert len(updates_of_us(bench)) < HUB, "not each time all that were linked so far"
    bench.wait(0.2)
    told = updates_of_us(bench)
    assert len(told) == HUB
    assert all(f"near{HUB} at 1" in line and when <= 0.1 for when, line in told)


def test_a_single_link_is_told_at_once_however_many_there_are() -> None:
    bench = hub()
    bench.wait(0.5)
    bench.open(HUB + 1)
    bench.did()
    Neighbour(bench, HUB + 1, "other").update({})
    assert [when for when, _ in updates_of_us(bench)] == [bench.now] * (HUB + 1)


def test_links_that_end_one_after_the_other_are_told_now_and_then() -> None:
    bench = hub()
    bench.wait(0.5)
    bench.did()
    for session in range(1, 11):
        bench.close(session)
        bench.wait(0.001)
    bench.wait(0.2)
    times = {when for when, _ in updates_of_us(bench)}
    assert len(times) == 2
    assert max(times) - min(times) <= 0.1
