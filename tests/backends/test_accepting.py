from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from event_loops import EventLoop
from receptor_process import free_port

from receptor.backends.accepting import Acceptor, tcp_sockets

SHORT_OF_DESCRIPTORS = """
    import asyncio, logging, os, resource, sys, time
    import uvloop
    from backend_kinds import FakeOwner, Tcp
    from receptor.backends import accepting
    from receptor.netceptor.links import LinkTerms

    class Owner(FakeOwner):
        def packets_received(self, number, packets):
            self.sessions[number - 100].session.send(packets)

    async def main():
        async with Tcp().listening(Owner(), LinkTerms()) as (_, port):
            in_use = len(os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            print(port, flush=True)
            await asyncio.to_thread(sys.stdin.readline)

    logging.basicConfig(format="%(levelname)s %(message)s")
    accepting.PAUSE = 0.02
    (uvloop if sys.argv[1] == "uvloop" else asyncio).run(main())
    print(time.process_time(), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_a_listener_without_descriptors_waits_and_goes_on_accepting(run: EventLoop) -> None:
    listener = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SHORT_OF_DESCRIPTORS), run.kind],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    with listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stderr is not None
        port = int(listener.stdout.readline())
        held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(60)]
        complaint = listener.stderr.readline()
        for connection in held:
            connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as late:
            late.sendall(b"\x04\x00late")
            assert late.recv(6) == b"\x04\x00late"
        spent, log = listener.communicate("\n", timeout=10)
    assert complaint == (
        f"ERROR tcp-listener 127.0.0.1:{port} can't accept connections: Too many open files;"
        " raise the limit of open files (ulimit -n). It goes on trying\n"
    )
    assert log == "", "one line, however long it takes"
    assert float(spent) < 5.0
    assert listener.returncode == 0


def test_a_host_name_may_stand_for_several_addresses(run: EventLoop) -> None:
    async def main() -> None:
        sockets = await tcp_sockets("localhost", free_port())
        assert {one.getsockname()[0] for one in sockets} <= {"127.0.0.1", "::1"}
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        acceptor = Acceptor("test", sockets, accepted.put)
        for one in sockets:
            with socket.create_connection(one.getsockname()[:2]) as dialled, await accepted.get() as connection:
                assert connection.getpeername() == dialled.getsockname()
        await acceptor.stop()
        assert all(one.fileno() == -1 for one in sockets)

    run(main())


def test_a_failure_with_one_connection_concerns_no_other(run: EventLoop) -> None:
    async def main() -> None:
        sockets = await tcp_sockets("127.0.0.1", 0)
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        failures = iter([ConnectionResetError])

        async def refuse_the_first(connection: socket.socket) -> None:
            accepted.put_nowait(connection)
            for failure in failures:
                raise failure

        acceptor = Acceptor("test", sockets, refuse_the_first)
        with (
            socket.create_connection(sockets[0].getsockname()) as first,
            socket.create_connection(sockets[0].getsockname()) as second,
        ):
            refused = await accepted.get()
            with await accepted.get() as connection:
                assert connection.getpeername() == second.getsockname()
            assert refused.fileno() == -1
            assert first.recv(1) == b""
        await acceptor.stop()

    run(main())
