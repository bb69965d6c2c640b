"""What ``Client`` and ``SyncClient`` make of the arguments of their callers, and say to them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from receptor.client.address import Address, TcpAddress, UnixAddress, parse_address
from receptor.client.submission import Submission
from receptor.errors import TimeExpired, UnreachableError


def as_address(address: str | os.PathLike[str] | Address) -> Address:
    """The address that is meant; raises ConfigurationError if a text is none."""
    if isinstance(address, (UnixAddress, TcpAddress)):
        return address
    return parse_address(address) if isinstance(address, str) else UnixAddress(os.fsdecode(address))


def make_submission(
    work_type: str,
    node: str,
    params: Mapping[str, str] | None,
    env: Mapping[str, str] | None,
    ttl: str | float,
    tls_client: str,
    sign: bool,
    idempotency_key: str,
    name: str,
) -> Submission:
    """The submission that the arguments of ``submit`` mean."""
    return Submission(
        work_type=work_type,
        node=node,
        tls_client=tls_client,
        ttl=ttl if isinstance(ttl, str) else f"{ttl:g}s",
        sign=sign,
        idempotency_key=idempotency_key,
        params=params or {},
        name=name,
        env=env or {},
    )


def is_done(outcome: str) -> bool:
    """Whether ``released`` and the like say that it is done, not just pending."""
    return not outcome.endswith("pending")


def in_callers_words(error: UnreachableError) -> UnreachableError | TimeExpired:
    """The error, or TimeExpired if it was the caller who set the time that was over."""
    return TimeExpired(str(error)) if isinstance(error.__cause__, TimeoutError) else error
