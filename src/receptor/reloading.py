"""Taking over a changed configuration while the node runs (configuration, "reload")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from receptor.config.changes import changes_that_need_a_restart
from receptor.config.configuration import Configuration
from receptor.control.answers import ReloadAnswer
from receptor.errors import ConfigurationError, OperatingError
from receptor.linking import Linking
from receptor.tls.profiles import TlsProfiles

NEEDS_RESTART = 3
FAILED = 4

logger = logging.getLogger("receptor.node")


class Reloading:
    """Reads the configuration anew when asked to, and takes over what has changed: backends and TLS files."""

    def __init__(
        self, running: Configuration, reread: Callable[[], Configuration], linking: Linking, tls: TlsProfiles
    ) -> None:
        """``reread`` reads the configuration as at the start. It is called in another thread."""
        self._running = running
        self._reread = reread
        self._linking = linking
        self._tls = tls
        self._one_at_a_time = asyncio.Lock()
        self._under_way: set[asyncio.Task[ReloadAnswer]] = set()
        self._watchers: list[Callable[[asyncio.Task[ReloadAnswer]], None]] = []
        self._has_stopped = False

    async def reload(self) -> ReloadAnswer:
        """Take over the whole of what has changed, or nothing of it and say why. Cancelling does not break it off."""
        return await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[ReloadAnswer]:
        """Do it without waiting for it; the log tells how it went."""
        reload = asyncio.create_task(self._reload_in_turn(), name="reload")
        self._under_way.add(reload)
        reload.add_done_callback(self._under_way.discard)
        for watcher in self._watchers:
            watcher(reload)
        return reload

    def watch(self, watcher: Callable[[asyncio.Task[ReloadAnswer]], None]) -> None:
        """Call back with each reload when it begins."""
        self._watchers.append(watcher)

    async def stop(self) -> None:
        """Begin no more; returns when none is under way."""
        self._has_stopped = True
        await asyncio.gather(*self._under_way)

    async def _reload_in_turn(self) -> ReloadAnswer:
        async with self._one_at_a_time:
            try:
                answer = _refusal("the node is ending", FAILED) if self._has_stopped else await self._reload()
            except (ConfigurationError, OperatingError) as error:
                answer = _refusal(str(error), FAILED)
            except Exception as error:  # The boundary of a reload: nobody may wait for it.
                logger.exception("a defect of this program, please report it; the node goes on")
                answer = _refusal(f"a defect of this program: {type(error).__name__}", FAILED)
        if answer.success:
            logger.info("the configuration was reloaded")
        else:
            logger.warning("the configuration was not reloaded: %s", answer.error.partition(" ERRORCODE ")[0])
        return answer

    async def _reload(self) -> ReloadAnswer:
        wanted = await asyncio.to_thread(self._reread)
        changes = changes_that_need_a_restart(self._running, wanted)
        if changes:
            return _refusal(f"only a restart can take over what was changed of {', '.join(changes)}", NEEDS_RESTART)
        tls = await asyncio.to_thread(TlsProfiles, wanted.tls_servers, wanted.tls_clients, wanted.node.id)
        self._tls.swap(tls)  # First, so that no new backend has a moment with the old files.
        try:
            await self._linking.change([*wanted.listeners, *wanted.peers])
        except BaseException:
            self._tls.swap(tls)
            raise
        self._running = wanted
        return ReloadAnswer(success=True)


def _refusal(reason: str, code: int) -> ReloadAnswer:
    return ReloadAnswer(success=False, error=f"{reason}; nothing was changed ERRORCODE {code}")
