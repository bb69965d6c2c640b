"""A node as a process of its own: signals, the log, systemd, and the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import receptor
from receptor.config.configuration import Configuration
from receptor.control.answers import ReloadAnswer
from receptor.daemon import Daemon, loop_factory
from receptor.logs import set_up_logging
from receptor.systemd import Systemd, take_systemd

logger = logging.getLogger("receptor.node")


def run_node(configuration: Configuration, reread: Callable[[], Configuration]) -> None:
    """Run until SIGTERM or SIGINT, or until the node has to give up its id.

    ``reread`` reads the configuration anew, for a reload. Raises OperatingError or ConfigurationError if the node
    can't start or must end.
    """
    set_up_logging(configuration.log_level, configuration.node.id, configuration.trace)
    systemd = take_systemd(os.environ)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_Process(configuration, reread, systemd).run())


class _Process:
    def __init__(self, configuration: Configuration, reread: Callable[[], Configuration], systemd: Systemd) -> None:
        self._configuration = configuration
        self._reread = reread
        self._systemd = systemd
        self._reload_failed = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        daemon = Daemon(self._configuration, self._reread, adopts_orphans=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.end, f"ending on {number.name}")
        loop.add_signal_handler(signal.SIGHUP, logger.info, "the node is starting: SIGHUP reloads nothing yet")
        async with AsyncExitStack() as parts:
            parts.push_async_callback(daemon.stop)
            await daemon.start()
            daemon.reloading.watch(self._reload_began)
            loop.add_signal_handler(signal.SIGHUP, daemon.reloading.begin)
            logger.info("node %s is ready (version %s)", self._configuration.node.id, receptor.__version__)
            self._systemd.tell(READY=1)
            if self._systemd.listens:
                informing = asyncio.create_task(self._systemd.keep_informed(lambda: self._status(daemon)))
                parts.callback(informing.cancel)
            try:
                await daemon.ended()
            finally:
                self._systemd.tell(STOPPING=1)
                # Nothing is reloaded any more. A closed loop would leave the signal to kill.
                loop.remove_signal_handler(signal.SIGHUP)
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _status(self, daemon: Daemon) -> str:
        """A line for people, which ``systemctl status`` shows."""
        failed = "; the last reload was refused, see the log" if self._reload_failed else ""
        return f"{daemon.summary()}{failed}"

    def _reload_began(self, reload: asyncio.Task[ReloadAnswer]) -> None:
        self._systemd.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        reload.add_done_callback(self._reload_ended)

    def _reload_ended(self, reload: asyncio.Task[ReloadAnswer]) -> None:
        self._reload_failed = reload.cancelled() or not reload.result().success
        self._systemd.tell(READY=1)
