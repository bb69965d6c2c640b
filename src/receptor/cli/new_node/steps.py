"""What to do once the files of a new node are there, as commands that can be typed. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from receptor.certificates.bundles import Bundle
from receptor.cli.new_node.wanted import Listen, OwnAuthority, Role, Wanted


def next_steps(wanted: Wanted, host_name: str, as_root: bool) -> str:
    """How to start the node and look at it, and what its neighbours need. ``host_name`` is this machine's."""
    parts = [("Start the node:", list(_start(wanted, as_root)))]
    parts.append(("See how it is:", [f"receptorctl --socket {shlex.quote(str(wanted.place.socket))} status"]))
    if wanted.listen:
        parts += _neighbours(wanted, _dialled(wanted, host_name))
    if isinstance(wanted.security, OwnAuthority):
        key = shlex.quote(str(wanted.security.folder))
        parts.append((f"Keep the authority in {key} safe, better on another machine: its key makes any node.", []))
    return "\n\n".join("\n".join([text, *(f"  {command}" for command in commands)]) for text, commands in parts)


def _start(wanted: Wanted, as_root: bool) -> Iterator[str]:
    configuration = wanted.place.configuration
    if not (wanted.place.is_of_the_system and as_root):
        yield f"receptor --config {shlex.quote(str(configuration))}"
        return
    unit = "receptor" if configuration.stem == "receptor" else f"receptor@{configuration.stem}"
    yield f"systemctl enable --now {unit}"


def _neighbours(wanted: Wanted, address: str) -> Iterator[tuple[str, list[str]]]:
    role = Role.EXECUTION if wanted.role.sends_work else Role.CONTROL
    work = " --work 'cat=cat'" if role.runs_work else ""
    options = f"--role {role}{work}"
    if isinstance(wanted.security, OwnAuthority):
        ca = shlex.quote(str(wanted.security.folder))
        verified = f" --verification-key {shlex.quote(str(wanted.place.verification_key))}" if wanted.signs else ""
        yield (
            "For each other node, say bar, make a file here and copy it to its machine:",
            [f"receptor certs bundle bar --ca {ca} --peer {address}{verified}", "scp bar.bundle root@bar.example.com:"],
        )
        yield "and there:", [f"receptor init --bundle bar.bundle {options}"]
    elif wanted.security is None:
        yield (
            "On the machine of another node, say bar:",
            [f"receptor init --id bar --peer {address} --no-tls {options}"],
        )
    else:
        yield (
            "Other nodes dial this one by a name that its certificate has, here NAME:",
            [f"--peer {address}"],
        )


def _dialled(wanted: Wanted, host_name: str) -> str:
    """The address under which others reach the first listener, as far as that is known here."""
    place = wanted.listen[0]
    if isinstance(wanted.security, Bundle):
        host_name = "NAME"  # what the certificate has was said where it was made
    hosts = [*wanted.dns, *map(_bracketed, map(str, wanted.ip)), *_own(place), host_name]
    if place.kind == "ws":
        return f"{'ws' if wanted.security is None else 'wss'}://{hosts[0]}:{place.port}"
    return f"{'udp:' if place.kind == 'udp' else ''}{hosts[0]}:{place.port}"


def _own(place: Listen) -> Iterator[str]:
    if place.host and place.host not in ("0.0.0.0", "::"):
        yield _bracketed(place.host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
