"""What a submitter asks for: work of this node, or of another."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping

import msgspec

from receptor.config.actions import WorkCommand
from receptor.durations import parse_duration
from receptor.errors import CommandError
from receptor.workceptor.environment import SECRET_ENV, parse_environment
from receptor.workceptor.receiving import WAITING_FOR_PAYLOAD
from receptor.workceptor.remote import expiration_text
from receptor.workceptor.status import (
    NO_EXPIRATION,
    REMOTE_WORK_TYPE,
    CommandExtra,
    RemoteExtra,
    State,
    Status,
    is_secret,
)


class CommandWork(msgspec.Struct, frozen=True, kw_only=True):
    """A command of this node."""

    work_type: str
    parameters: Mapping[str, str]


class RemoteWork(msgspec.Struct, frozen=True, kw_only=True):
    """Work of another node."""

    node: str
    work_type: str
    tls_client: str = ""
    ttl: str = ""
    sign_work: bool = False
    parameters: Mapping[str, str]


Work = CommandWork | RemoteWork


def environment_of(work: Work) -> str:
    """The variables for the command, as the submitter wrote them; empty if there are none."""
    return work.parameters.get(SECRET_ENV, "")


def digest_of(work: Work) -> str:
    """The same text for the same work only."""
    return hashlib.sha256(msgspec.json.encode(work, order="sorted")).hexdigest()


def first_command_status(work: CommandWork, command: WorkCommand) -> Status:
    """The status of a new unit for that command. Raises CommandError if it doesn't take the parameters."""
    params = work.parameters.get("params", "")
    if params and not command.allow_runtime_params:
        raise CommandError(f"extra params provided but not allowed: work type {work.work_type} takes none")
    if environment_of(work):
        if not command.allow_runtime_environment:
            raise CommandError(f"{SECRET_ENV} provided but not allowed: work type {work.work_type} takes none")
        parse_environment(environment_of(work))
    extra = CommandExtra(params=f"{command.params} {params}".strip())
    return Status(state=State.PENDING, detail=WAITING_FOR_PAYLOAD, stdout_size=0, work_type=work.work_type, extra=extra)


def first_remote_status(work: RemoteWork, *, can_sign: bool) -> Status:
    """The status of a new unit for work of another node. Raises CommandError if it can't be sent as asked."""
    if any(is_secret(name) for name in work.parameters) and not work.tls_client:
        raise CommandError("cannot send secrets over a non-TLS connection; name a tlsclient")
    if work.sign_work and not can_sign:
        raise CommandError("this node can't sign work: its configuration has no work-signing key")
    parse_environment(environment_of(work))
    extra = RemoteExtra(
        remote_node=work.node,
        remote_work_type=work.work_type,
        remote_params={name: value for name, value in work.parameters.items() if name != SECRET_ENV},
        sign_work=work.sign_work,
        tls_client=work.tls_client,
        expiration=_expiration(work.ttl),
    )
    return Status(
        state=State.PENDING, detail=WAITING_FOR_PAYLOAD, stdout_size=0, work_type=REMOTE_WORK_TYPE, extra=extra
    )


def _expiration(ttl: str) -> str:
    if not ttl:
        return NO_EXPIRATION
    try:
        return expiration_text(time.time() + parse_duration(ttl))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"ttl: {error}") from None
