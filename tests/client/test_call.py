from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import pytest
from receptor_process import ENVIRONMENT

from receptor.client.call import Call, Reply, run


def test_a_call_and_its_reply() -> None:
    call = Call.of(pow, (2, 5), {})
    output, has_returned = run(call.payload)
    assert has_returned
    assert Reply.find(b"printed by the function" + output + b"said at its end", call.mark) == Reply(value=32)


def test_the_reply_to_another_call_is_none() -> None:
    output, _ = run(Call.of(pow, (2, 5), {}).payload)
    assert Reply.find(output, Call.of(pow, (2, 5), {}).mark) is None


def test_part_of_a_reply_is_none() -> None:
    call = Call.of(pow, (2, 5), {})
    output, _ = run(call.payload)
    assert Reply.find(output[:-1], call.mark) is None
    assert Reply.find(b"", call.mark) is None


def test_an_error_comes_with_its_traceback() -> None:
    call = Call.of(math.sqrt, (-1,), {})
    output, has_returned = run(call.payload)
    reply = Reply.find(output, call.mark)
    assert not has_returned
    assert reply is not None
    assert isinstance(reply.error, ValueError)
    assert "Traceback (most recent call last)" in reply.traceback


def test_a_function_that_is_not_there() -> None:
    call = Call.of(math.sqrt, (4,), {})
    output, _ = run(call.payload.replace(b"math", b"nath"))
    reply = Reply.find(output, call.mark)
    assert reply is not None
    assert isinstance(reply.error, ModuleNotFoundError)


def test_a_reply_that_can_not_be_made_here() -> None:
    call = Call.of(Fraction, (1, 2), {})
    output, _ = run(call.payload)
    with pytest.raises(ModuleNotFoundError) as raised:
        Reply.find(output.replace(b"fractions", b"fraktions"), call.mark)
    assert "can't be unpickled here" in raised.value.__notes__[0]


def test_as_a_program() -> None:
    for function, code in ((math.sqrt, 0), (sys.exit, 1)):
        call = Call.of(function, (4,), {})
        done = subprocess.run(
            [sys.executable, "-m", "receptor.client.call"],
            input=call.payload, env=ENVIRONMENT, capture_output=True, timeout=20, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (code, b"")
        assert Reply.find(done.stdout, call.mark) is not None
