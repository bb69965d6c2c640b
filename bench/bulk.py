"""Units with large payloads and results, one at a time."""

from __future__ import annotations

import time

from bench.control import SUCCEEDED, BenchError, Session, submit_request, unit_of

ASK_EVERY = 0.005
"""Seconds between questions for the state; more often would cost more than it tells."""
LONGEST_TRANSFER = 120.0


def payload_seconds(path: str, node: str, work_type: str, payload: bytes) -> float:
    """From the first byte of ``submit`` to the status that tells of success.

    The work type counts its stdin. Raises BenchError if that is not as long as the payload.
    """
    with Session(path) as session, Session(path) as submission:
        begin = time.perf_counter()
        unit = _submit(submission, node, work_type, payload)
        while not session.status(unit).has_reached(SUCCEEDED):
            time.sleep(ASK_EVERY)
            if time.perf_counter() - begin > LONGEST_TRANSFER:
                raise BenchError(f"a payload took more than {LONGEST_TRANSFER:g} s")
        seconds = time.perf_counter() - begin
        room = bytearray(100)
        counted = int(room[: _read_results(path, unit, room)])
        if counted != len(payload):
            raise BenchError(f"of a payload of {len(payload)} bytes {counted} arrived")
        _release(session, unit)
        return seconds


def results_seconds(path: str, node: str, work_type: str, payload: bytes, expected: bytes) -> float:
    """From the first byte of ``submit`` to the last one of the results, followed as soon as the payload is sent.

    Raises BenchError if they are not what is expected.
    """
    room = bytearray(b"-") * (len(expected) + 1)  # filled, so that its memory is there before the clock runs
    with Session(path) as session, Session(path) as submission:
        begin = time.perf_counter()
        unit = _submit(submission, node, work_type, payload)
        size = _read_results(path, unit, room)
        seconds = time.perf_counter() - begin
        if room[:size] != expected:
            raise BenchError(f"the results are wrong: {size} bytes instead of {len(expected)}, or other ones")
        _release(session, unit)
        return seconds


def _submit(submission: Session, node: str, work_type: str, payload: bytes) -> str:
    submission.send(submit_request(node, work_type))
    unit = unit_of(submission.line())
    submission.send(memoryview(payload))
    submission.send_end()
    return unit


def _read_results(path: str, unit: str, room: bytearray) -> int:
    with Session(path) as session:
        answer = session.ask(f"work results {unit}")
        if not answer.startswith(b"Streaming results"):
            raise BenchError(f"the results were answered {answer.decode(errors='replace')!r}")
        return session.read_into(room)


def _release(session: Session, unit: str) -> None:
    """So that the files of many transfers don't fill the disk."""
    session.ask(f"work release {unit}")
