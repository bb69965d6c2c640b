"""A unit whose output the test writes, as a remote unit's is written by this process."""

from __future__ import annotations

from plain_unit import PlainUnit


class FedUnit(PlainUnit):
    """Has no work to do."""

    async def release(self, force: bool) -> bool:
        await self.remove()
        return True

    def output(self, data: bytes) -> None:
        with self.folder.open_stdout_append() as stdout:
            stdout.write(data)
        self.notify()
