"""A node for tests of the benchmark: it speaks the control protocol, and all its units do the same."""

from __future__ import annotations

import json
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BenchNode(socketserver.ThreadingUnixStreamServer):
    """Each unit is Running when first asked for, and then in the state ``end``; its results are its payload."""

    def __init__(self, path: str, end: int) -> None:
        super().__init__(path, _Handler)
        self.end = end
        self.path = path
        self.units: list[str] = []
        self.payloads: dict[str, bytes] = {}
        """Those that have come to their end."""
        self.released: list[str] = []
        self.refusal = ""
        """What submissions are answered with, if they are refused."""
        self.asked: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.changed = threading.Condition()


class _Handler(socketserver.StreamRequestHandler):
    server: BenchNode
    timeout = 10

    def handle(self) -> None:
        self._say("Receptor Control, node fake")
        while line := self.rfile.readline():
            if line.startswith(b"{"):
                return self._submit(json.loads(line))
            _, verb, unit = line.decode().split()
            if verb == "results":
                self._say(f"Streaming results for work unit {unit}")
                self.wfile.write(self._results(unit))
                return None
            self._say(json.dumps(self._status(unit) if verb == "status" else self._release(unit)))
        return None

    def _submit(self, request: dict[str, str]) -> None:
        assert request["command"] == "work"
        assert request["subcommand"] == "submit"
        if self.server.refusal:
            self._say(self.server.refusal)
            return
        with self.server.changed:
            unit = f"{request['node']}{request['worktype']}{len(self.server.units)}"
            self.server.units.append(unit)
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        self._say(f"Work unit created with ID {unit}. Send stdin data and EOF.")
        payload = self.rfile.read()
        with self.server.changed:
            self.server.payloads[unit] = str(len(payload)).encode() if request["worktype"] == "count" else payload
            self.server.changed.notify_all()
        self._say(json.dumps({"unitid": unit, "result": "Job Started"}))

    def _status(self, unit: str) -> dict[str, object]:
        server = self.server
        with server.changed:
            server.asked[unit] += 1
            if server.asked[unit] == 1:
                return {"State": 1, "Detail": "Running"}
            self._await_payload(unit)
            server.at_once -= server.asked[unit] == 2
            return {"State": server.end, "Detail": "as it was told to"}

    def _results(self, unit: str) -> bytes:
        with self.server.changed:
            self._await_payload(unit)
            return self.server.payloads[unit]

    def _await_payload(self, unit: str) -> None:
        self.server.changed.wait_for(lambda: unit in self.server.payloads, self.timeout)

    def _release(self, unit: str) -> dict[str, object]:
        self.server.released.append(unit)
        return {"released": unit}

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\n")


@contextmanager
def bench_node(folder: Path, end: int = 2) -> Iterator[BenchNode]:
    """Runs one, on a socket in the folder."""
    with BenchNode(str(folder / "sock"), end) as node:
        thread = threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield node
        finally:
            node.shutdown()
            thread.join()
