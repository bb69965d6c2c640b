"""A daemon that does nothing but run commands, for tests that kill one: ``python command_daemon.py <data folder>``.

It reads ``<unit id> <script>`` a line, and writes ``started <unit id>``, ``refused <unit id>``,
``ended <unit id> <detail>``; at first ``adopted <unit id> <outcome>`` for each folder that is there, and ``ready``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from receptor.errors import ReceptorError
from receptor.workceptor.folder import UnitFolder, unit_ids
from receptor.workceptor.records import ExitRecord
from receptor.workceptor.runner_client import RunnerClient, Vanished


def tell(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def tell_end(unit_id: str, end: ExitRecord | Vanished) -> None:
    tell("ended", unit_id, end.detail if isinstance(end, ExitRecord) else end.reason)


async def start(client: RunnerClient, folder: UnitFolder, script: str) -> None:
    try:
        await client.start(folder.unit_id, folder, ["bash", "-c", script])
    except ReceptorError as error:
        tell("refused", folder.unit_id, str(error))
    else:
        tell("started", folder.unit_id)


async def serve(data_folder: Path) -> None:
    client = RunnerClient(data_folder, tell_end)
    for unit_id, outcome in (await client.adopt(unit_ids(data_folder))).items():
        tell("adopted", unit_id, type(outcome).__name__)
    tell("ready")
    async with asyncio.TaskGroup() as starts:
        while line := await asyncio.to_thread(sys.stdin.readline):
            unit_id, script = line.rstrip("\n").split(" ", 1)
            starts.create_task(start(client, UnitFolder(data_folder / unit_id), script))
    await client.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
