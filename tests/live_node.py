"""A fake node that answers as often as it is asked, for tests of what looks at it all the time."""

from __future__ import annotations

import json
import threading

from fake_control import Peer
from mesh_answers import a_row_of_three

from receptor.client.fields import JsonObject


def a_unit(state: int = 1, work_type: str = "cat", detail: str = "", **more: object) -> JsonObject:
    return {"State": state, "WorkType": work_type, "Detail": detail, "StdoutSize": 2, "ExtraData": None, **more}


class LiveNode:
    """Its state may be changed at any time. ``session`` is for as many connections as the client makes."""

    def __init__(self, *, tells_events: bool = True) -> None:
        self.status = a_row_of_three()
        self.units: dict[str, JsonObject] = {}
        self.output = b""
        self._tells_events = tells_events
        self.connections = 0
        self._changed = threading.Condition()
        self._is_over = False
        self._happened = 0

    def tell(self) -> None:
        """Have an event told to those who follow."""
        with self._changed:
            self._happened += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Let those who follow events see the end."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def session(self, peer: Peer) -> None:
        self.connections += 1
        try:
            peer.greet()
            for command in peer.each_command():
                name = command.get("subcommand", command["command"])
                if name == "status":
                    peer.say(json.dumps(self.status))
                elif name == "list":
                    peer.say(json.dumps(self.units))
                elif name in ("cancel", "release"):
                    self._end_unit(peer, name, command["unitid"])
                elif name == "results":
                    peer.say(f"Streaming results for work unit {command['unitid']}")
                    peer.send(self.output)
                    return
                elif self._tells_events:
                    peer.say("Streaming events of node fake")
                    self._tell_events(peer)
                    return
                else:
                    peer.say("ERROR: Unknown command")
        except ConnectionError:
            pass  # the client has left

    def _end_unit(self, peer: Peer, verb: str, unit_id: str) -> None:
        if verb == "release":
            del self.units[unit_id]
            peer.say(json.dumps({"released": unit_id}))
        else:
            self.units[unit_id] = a_unit(4, detail="Canceled")
            peer.say(json.dumps({"cancelled": unit_id}))

    def _tell_events(self, peer: Peer) -> None:
        told = 0
        while True:
            with self._changed:
                while self._happened == told and not self._is_over:
                    self._changed.wait()
                told = self._happened
            if self._is_over:
                return
            peer.say(json.dumps({"Event": "unit.changed", "Time": "2026-01-31T12:00:00Z"}))
