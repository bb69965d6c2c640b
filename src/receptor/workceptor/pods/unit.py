"""A unit that runs in a pod: does what its logic (logic.py) wants."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import msgspec

from receptor.config.kubernetes_action import WorkKubernetes
from receptor.errors import CommandError, OperatingError, UnknownWorkType, UnreachableError
from receptor.workceptor.command_unit import START_ERROR
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.pods.cluster import Cluster, in_cluster, of_file, of_kubeconfig
from receptor.workceptor.pods.definition import pod_to_make
from receptor.workceptor.pods.logic import CONNECTING, SENDING, Deed, PodUnit
from receptor.workceptor.pods.pod import Pod
from receptor.workceptor.pods.problems import Broken, Refused
from receptor.workceptor.pods.streams import PodStreams
from receptor.workceptor.records import Order, Submission
from receptor.workceptor.status import State, Status
from receptor.workceptor.unit import Keeper, Unit

if TYPE_CHECKING:
    from receptor.workceptor.pods.api import Api

ORDER_TIME = 8.0
"""Seconds after which a cancel or release answers that it is pending."""
REWATCH_PAUSE = 1.0

logger = logging.getLogger("receptor.workceptor")


class PodWorkUnit(Unit):
    """A unit and its pod. ``action`` is None if its work type is no longer configured."""

    def __init__(
        self,
        folder: UnitFolder,
        status: Status,
        disk: Executor,
        keeper: Keeper,
        submission: Submission,
        action: WorkKubernetes | None,
        stdout_size: int = 0,
    ) -> None:
        super().__init__(folder, status, disk, keeper, submission)
        self._action = action
        self._uses_tcp = action is not None and action.stream_method == "tcp"
        self.logic = PodUnit(status, stdout_size, uses_tcp=self._uses_tcp)
        self._api: Api | None = None
        self._connecting = asyncio.Lock()
        self._streams = PodStreams(self, self.logic, self._sync)
        self._deeds: dict[Deed, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake_up: asyncio.TimerHandle | None = None
        self._order: Order | None = None
        self._is_resumed = False
        self._is_closed = False
        self._doers: dict[Deed, Callable[[Api], Awaitable[None]]] = {
            Deed.CREATE: self._create,
            Deed.WATCH: self._watch,
            Deed.SEND: self._streams.send,
            Deed.FETCH: self._streams.fetch,
            Deed.TALK: self._streams.talk,
            Deed.DELETE: self._delete,
        }

    # As a unit

    async def current_status(self) -> Status:
        if self.shown.state.is_final:
            return self.shown
        return msgspec.structs.replace(self.shown, stdout_size=self.logic.stdout_size)

    async def start(self) -> str:
        if self.status.state.is_final:
            raise CommandError(f"unit {self.unit_id} was cancelled before its payload was complete")
        try:
            await self._connected()
        except (OperatingError, CommandError) as error:
            self.logic.fail(f"{START_ERROR}: {error}")
            await self._sync()
            raise CommandError(str(error)) from None
        self.logic.has_payload = await self._has_payload()
        await self.update(detail=CONNECTING)
        self._is_resumed = True
        await self._sync()
        return self.start_result

    @property
    def start_result(self) -> str:
        if self.status.detail.startswith(START_ERROR):
            raise CommandError(self.status.detail)
        return "Job Started"

    async def resume(self, order: Order | None) -> None:
        """Take up the work after a restart of this node."""
        self._is_resumed = True
        self._order = order
        self.logic.has_payload = await self._has_payload()
        if order is not None:
            self.logic.cancel()
        elif not self.status.state.is_final:
            self._resume_pod()
        await self._sync()
        if self._is_released:
            await self.remove()

    def _resume_pod(self) -> None:
        pod, is_pending = self.logic.extra.pod_name, self.status.state is State.PENDING
        if self._action is None:
            self.logic.fail(str(UnknownWorkType(self.status.work_type)))
        elif self._uses_tcp and pod:
            self.logic.fail("the node ended while it talked to the pod; streammethod tcp can't go on after that")
        elif is_pending and pod and self._action.delete_pod_on_restart:
            self.logic.fail(f"the node ended before pod {pod} ran; it is deleted, as deletepodonrestart says")
        elif self.status.detail == SENDING:
            self.logic.broke("the node ended while it sent stdin to the pod", self._now)

    async def _has_payload(self) -> bool:
        return await self.on_disk(self.folder.payload_size) > 0

    async def cancel(self) -> bool:
        if not self.status.state.is_final:
            await self._note(Order.CANCEL)
            self.logic.cancel()
            await self._sync()
            await self._attempts()
            self._raise_if_refused()
        return self.status.state.is_final and self.save_problem is None

    async def release(self, force: bool) -> bool:
        await self._note(Order.RELEASE)
        self.logic.release()
        self._is_resumed = True
        await self._sync()
        await self._attempts()
        if not self.is_removed and (force or self._is_released):
            await self.remove()
        if not self.is_removed:
            self._raise_if_refused()
        return self.is_removed

    def _raise_if_refused(self) -> None:
        if self.logic.delete_problem:
            problem = f"pod {self.logic.extra.pod_name} can't be deleted: {self.logic.delete_problem}"
            raise OperatingError(f"{problem}; it is tried again for a minute, and force-release leaves it there")

    async def save(self, status: Status) -> None:
        if not self.is_removed:
            self.logic.status = status
        await super().save(status)

    async def close(self) -> None:
        """Do no more; everything can be resumed from the disk."""
        self._is_closed = True
        await self._stop()
        await super().close()

    async def remove(self) -> None:
        self._is_closed = True
        await self._stop()
        await super().remove()

    async def _stop(self) -> None:
        if self._wake_up is not None:
            self._wake_up.cancel()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._disconnect()

    async def _note(self, order: Order) -> None:
        """Put an order on disk, so that it is carried out whatever dies meanwhile."""
        if self._order is Order.RELEASE:
            return
        self._order = order
        try:
            await self.on_disk(self.folder.write_order, order)
        except OperatingError as error:
            logger.error("a restart would forget the order to %s: %s", order, error, extra={"unit": self.unit_id})

    @property
    def _is_released(self) -> bool:
        """Whether the unit is to be released, and its pod is gone or at least does nothing any more."""
        has_ended = self.logic.end is not None or self.status.state is State.SUCCEEDED
        is_harmless = not self.logic.has_pod or (has_ended and self.logic.is_delete_given_up)
        return self._order is Order.RELEASE and is_harmless and not self.logic.is_making

    # The deeds

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _sync(self) -> None:
        """Save what the logic has changed, and do what follows from it."""
        self._drop_unwanted()
        if self.is_removed:
            return
        if self._is_released and asyncio.current_task() in self._tasks:
            try:
                await self.remove()
            except OperatingError as error:
                logger.error("%s", error, extra={"unit": self.unit_id})
            return
        if self.logic.is_unwanted and self.logic.has_pod:
            await self._note(self._order or Order.CANCEL)
        if self.logic.status != self.status:
            await self.save(self.logic.status)
        self._do_wanted()

    def _do_wanted(self) -> None:
        """Do what is wanted, now or after its pause."""
        if self._wake_up is not None:
            self._wake_up.cancel()
        if self._is_closed or not self._is_resumed:
            return
        deadline = self.logic.deadline()
        times = [] if deadline is None else [deadline]
        wanted = self.logic.wanted()
        for deed in [deed for deed in Deed if deed in wanted and deed not in self._deeds]:
            if self.logic.not_before(deed) <= self._now:
                self._deeds[deed] = self._spawn(self._do(deed), f"{deed.value} pod of unit {self.unit_id}")
            else:
                times.append(self.logic.not_before(deed))
        if times:
            self._wake_up = asyncio.get_running_loop().call_at(min(times), self._woken)

    def _woken(self) -> None:
        self.logic.tick(self._now)
        self._spawn(self._sync(), f"look after unit {self.unit_id}")

    def _drop_unwanted(self) -> None:
        for deed in self._deeds.keys() - self.logic.wanted():
            if self._deeds[deed] is not asyncio.current_task():
                self._deeds.pop(deed).cancel()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _attempts(self) -> None:
        """Wait until the pod is deleted or that has failed once, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ORDER_TIME):
                while tasks := [self._deeds[deed] for deed in (Deed.CREATE, Deed.DELETE) if deed in self._deeds]:
                    await asyncio.wait(tasks)
                await self.saved()

    async def _do(self, deed: Deed) -> None:
        try:
            await self._doers[deed](await self._connected())
        except Broken as error:
            self.logic.broke(str(error), self._now)
        except (Refused, UnreachableError, OperatingError, CommandError) as error:
            self._failed(deed, str(error), is_refused=isinstance(error, CommandError))
        except Exception as error:  # The boundary of a deed: a defect of ours must not leave a unit for ever.
            logger.exception("a defect of this program, please report it", extra={"unit": self.unit_id})
            self._failed(deed, f"{type(error).__name__}: {error}", is_refused=True)
        finally:
            if self._deeds.get(deed) is asyncio.current_task():
                del self._deeds[deed]
        await self._sync()
        if self.status.state.is_final and not self._deeds:
            await self._disconnect()

    def _failed(self, deed: Deed, reason: str, *, is_refused: bool) -> None:
        self.logic.failed(deed, reason, self._now, is_refused=is_refused)
        logger.info("can't %s the pod now: %s", deed.value, reason, extra={"unit": self.unit_id})

    async def _disconnect(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def _connected(self) -> Api:
        """The API server. Raises OperatingError and UnknownWorkType if it can't be told which."""
        async with self._connecting:
            if self._api is None:
                api_class = await asyncio.to_thread(_api_class)
                self._api = api_class(await asyncio.to_thread(self._cluster))
            return self._api

    def _cluster(self) -> Cluster:
        if self.logic.extra.kube_config:
            return of_kubeconfig(self.logic.extra.kube_config)
        if self._action is None or self._action.auth_method == "runtime":
            raise UnknownWorkType(self.status.work_type)
        return in_cluster() if self._action.auth_method == "incluster" else of_file(self._action.kubeconfig)

    async def _create(self, api: Api) -> None:
        extra, has_stdin = self.logic.extra, self.logic.has_payload and not self._uses_tcp
        pod = await asyncio.to_thread(
            pod_to_make, extra, self.status.work_type, has_payload=has_stdin, environment=self._streams.environment
        )
        if not extra.pod_name:
            name = f"{pod.prefix}-{secrets.token_hex(5)}"
            self.logic.name_chosen(name, pod.namespace or extra.kube_namespace or api.namespace)
            await self.save(self.logic.status)
            if self.save_problem is not None:
                raise self.save_problem
        namespace, name = self.logic.pod
        self.logic.is_making = True
        try:
            await api.create(namespace, pod.named(name, namespace))
        finally:
            self.logic.is_making = False
        self.logic.made(self._now)

    async def _watch(self, api: Api) -> None:
        while self.logic.end is None:
            pod = await api.get(*self.logic.pod)
            self.logic.succeeded(Deed.WATCH)
            await self._see(pod)
            if pod is None:
                return
            async with aclosing(api.watch(*self.logic.pod, pod.version)) as changes:
                async for change in changes:
                    await self._see(change)
                    if change is None or self.logic.end is not None:
                        return
            await asyncio.sleep(REWATCH_PAUSE)

    async def _see(self, pod: Pod | None) -> None:
        if pod is None:
            self.logic.pod_gone()
        else:
            self.logic.pod_seen(pod, self._now)
        if self.logic.end is not None:
            self._streams.worker_ended()
        await self._sync()

    async def _delete(self, api: Api) -> None:
        await api.delete(*self.logic.pod)
        self.logic.deleted()


def _api_class() -> type[Api]:
    """Loaded only now: aiohttp is big, and few nodes need it."""
    try:
        from receptor.workceptor.pods.api import Api
    except ModuleNotFoundError as error:
        raise OperatingError(
            f"{error.name} is missing; install it with: pip install 'pyreceptor[kubernetes]'"
        ) from None
    return Api
