"""What is done at random to daemons, runners and links; each has a thread and a random order of deeds of its own."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from tools.chaos.links import DOWN, UP, Link, Relays
from tools.chaos.nodes import Chronicle, Node

_Victim = TypeVar("_Victim", Node, Link)


class Torment:
    """Goes on from ``begin`` to ``end``; whatever is down or stopped then comes back."""

    def __init__(self, seed: int, chronicle: Chronicle, relays: Relays) -> None:
        self._seed = seed
        self._chronicle = chronicle
        self._relays = relays
        self._peace = threading.Event()
        self._threads = ThreadPoolExecutor(16, "torment")
        self._torments: list[Future[None]] = []
        self.deeds: list[str] = []

    def begin(self, nodes: list[Node], runner_owner: Node, links: list[Link]) -> None:
        for node in nodes:
            self._spawn(self._torment_daemon, node, f"daemon {node.node_id}")
        self._spawn(self._torment_runner, runner_owner, "runner")
        for link in links:
            self._spawn(self._torment_link, link, f"link {link.name}")

    def end(self) -> None:
        """Returns when all is up. Raises ChaosError if a node does not come back."""
        self._peace.set()
        with self._threads:
            for torment in self._torments:
                torment.result()

    def _spawn(self, torment: Callable[[_Victim, random.Random], None], victim: _Victim, name: str) -> None:
        self._torments.append(self._threads.submit(torment, victim, random.Random(f"{self._seed}/{name}")))

    def _torment_daemon(self, node: Node, rng: random.Random) -> None:
        while not self._peace.wait(rng.uniform(0.5, 6)):
            node.look_after()
            deed = rng.choices(("kill", "kill with runner", "restart", "halt"), (40, 5, 20, 30))[0]
            runner_first, pause = rng.random() < 0.5, rng.uniform(0, 2)
            self.deeds.append(f"{deed} {node.node_id}")
            if deed == "halt":
                node.pause()
                self._peace.wait(pause * 2)
                node.resume()
                continue
            if deed == "restart":
                node.terminate()
            elif deed == "kill":
                node.kill()
            elif runner_first:
                node.signal_runner(signal.SIGKILL)
                node.kill()
            else:
                node.kill()
                node.signal_runner(signal.SIGKILL)
            self._peace.wait(pause)
            node.start()

    def _torment_runner(self, node: Node, rng: random.Random) -> None:
        """Kill it mostly when its daemon can learn the ends of its commands: else they are all given up."""
        while not self._peace.wait(rng.uniform(0.5, 6)):
            deed, pause = rng.choice(("kill", "halt")), rng.uniform(0.1, 4)
            if deed == "kill" and (rng.random() < 0.2 or node.runner_is_daemons_child()):
                self.deeds += ["kill runner"] * node.signal_runner(signal.SIGKILL)
            elif deed == "halt" and node.signal_runner(signal.SIGSTOP):
                self.deeds.append("halt runner")
                self._peace.wait(pause)
                node.signal_runner(signal.SIGCONT)

    def _torment_link(self, link: Link, rng: random.Random) -> None:
        while not self._peace.wait(rng.uniform(0.3, 6)):
            deed = rng.choices(("cut", "stall", "refuse"), (50, 35, 15))[0]
            after, reset = rng.choice((0, rng.randrange(100), rng.randrange(1_000_000))), rng.random() < 0.5
            directions, pause = rng.choice(((UP,), (DOWN,), (UP, DOWN))), rng.uniform(0.1, 5)
            self.deeds.append(f"{deed} link")
            self._chronicle.tell(f"link {link.name}: {deed}")
            if deed == "cut":
                self._relays.do(partial(link.cut, after, reset=reset))
                continue
            begin, end = (partial(link.stall, *directions), link.stall)
            if deed == "refuse":
                begin, end = partial(link.refuse, True), partial(link.refuse, False)
            self._relays.do(begin)
            self._peace.wait(pause)
            self._relays.do(end)
            self._chronicle.tell(f"link {link.name}: {deed} is over")
