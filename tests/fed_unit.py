"""A unit whose output the test writes, as a remote unit's is written by this process."""

from __future__ import annotations

from receptor.workceptor.status import Status
from receptor.workceptor.unit import Unit


class FedUnit(Unit):
    """Has no work to do."""

    async def current_status(self) -> Status:
        return self.shown

    async def start(self) -> str:
        raise NotImplementedError

    @property
    def start_result(self) -> str:
        raise NotImplementedError

    async def cancel(self) -> bool:
        raise NotImplementedError

    async def release(self, force: bool) -> bool:
        await self.remove()
        return True

    def output(self, data: bytes) -> None:
        with self.folder.open_stdout_append() as stdout:
            stdout.write(data)
        self.notify()
