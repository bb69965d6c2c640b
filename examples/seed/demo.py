"""The seed's story, told by two real nodes; ``make demo`` runs it.

The nodes foo and bar start from foo.yml and bar.yml beside this file. Then each command of the story is printed
as one would type it, run, and its output shown as it comes. All files are in a folder made for the run. At the
end, at Ctrl-C and when something fails, the nodes and all their work are stopped.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEED = Path(__file__).resolve().parent
COMMANDS = Path(sys.executable).parent  # receptor and receptorctl lie beside the Python of .venv
LONGEST_START = 30.0  # seconds until a node must be seen in foo's status
LONGEST_STOP = 15.0  # seconds that a node has to end its work and itself
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoryBroken(Exception):
    """Something went otherwise than the story tells."""


def main() -> int:
    if not has_recent_bash():
        print("The work in this story is done by bash 4 or later, which is not on the PATH.", file=sys.stderr)
        print("Install it (apt install bash, brew install bash) and run make demo again.", file=sys.stderr)
        return 1
    for name in STOPPING_SIGNALS:
        signal.signal(name, signal.default_int_handler)
    mesh = Mesh(Path(tempfile.mkdtemp(prefix="receptor-demo-")))
    try:
        tell(mesh)
    except (StoryBroken, OSError) as error:
        print(f"\nThe demo failed: {error}\n\n{mesh.ends_of_logs()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    finally:
        for name in STOPPING_SIGNALS:
            signal.signal(name, signal.SIG_IGN)
        mesh.cancel_all_work()
        mesh.stop()
        print(f"\nBoth nodes are stopped. Their configurations and logs of this run: {mesh.folder}", flush=True)
    print(what_to_type_next())
    return 0


def tell(mesh: Mesh) -> None:
    ctl = f"receptorctl --socket {mesh.socket}"

    say("Two nodes, as foo.yml and bar.yml describe them; only these lines differ, to keep this run to itself:")
    mesh.keep_to_itself()
    mesh.start()

    say("bar has dialled foo, and foo has learnt which work bar does.")
    mesh.types(f"{ctl} status", expect="echopayload")

    say("Local work: foo's own echoint counts to five, a number a second.")
    local = mesh.submits(f"{ctl} work submit echoint --no-payload")
    say("Remote work: we ask foo, but it is bar that works, and bar's echoint counts to ten.")
    remote = mesh.submits(f"{ctl} work submit echoint --node bar --no-payload")

    say("A payload for bar, from standard input. With -f its results show as they come, every three seconds.")
    mesh.types(
        rf'echo -e "hi\ni am foo\nwhat is your name" | {ctl} work submit echopayload --node bar --payload - -f',
        expect="HI\nI AM FOO\nWHAT IS YOUR NAME\n",
    )

    say("Meanwhile the two others counted on. Their results can be had at any time, and again.")
    mesh.types(f"{ctl} work results {local}", expect=numbers_to(5))
    mesh.types(f"{ctl} work results {remote}", expect=numbers_to(10))

    say("Work that is no longer wanted is cancelled, wherever it runs.")
    doomed = mesh.submits(f"{ctl} work submit echoint --node bar --no-payload")
    mesh.types(f"{ctl} work cancel {doomed}", expect=doomed)

    say("foo lists all its units. Those of type remote follow a unit of bar's.")
    mesh.types(f"{ctl} work list", expect=doomed)

    say("Release deletes a unit and its files, on both nodes.")
    mesh.types(f"{ctl} work release {remote}", expect=remote)
    mesh.types(f"{ctl} work release --all", expect=doomed)
    mesh.types(f"{ctl} work list", expect="{}")

    if shutil.which("openssl"):
        tell_of_signed_work(mesh, ctl)
    else:
        say("Signed work is left out: the document makes the keys with openssl, which is not on the PATH.")


def tell_of_signed_work(mesh: Mesh, ctl: str) -> None:
    say("Signed work: foo signs with a private key, bar verifies with the public one.")
    mesh.types("openssl genrsa -out signworkprivate.pem 2048")
    mesh.types("openssl rsa -in signworkprivate.pem -pubout -out signworkpublic.pem")
    say("Both nodes start again with these lines added:")
    mesh.stop()
    mesh.sign_and_verify()
    mesh.start()
    submit = f"{ctl} work submit echopayload --node bar"
    mesh.types(f"{submit} --payload-literal 'signed by foo' --signwork -f", expect="SIGNED BY FOO\n")
    say("Without a signature bar now refuses this work.")
    mesh.types(f"{submit} --payload-literal 'by nobody' -f", expect="signature", succeeds=False)


def what_to_type_next() -> str:
    commands, seed = from_here(COMMANDS), from_here(SEED)
    return f"""
Now you. Start the nodes in two terminals:
    {commands}/receptor --config {seed}/foo.yml
    {commands}/receptor --config {seed}/bar.yml
and talk to foo in a third:
    export PATH="{COMMANDS}:$PATH" RECEPTORCTL_SOCKET=/tmp/foo.sock
    receptorctl status
    receptorctl ping bar
    receptorctl work submit echopayload --node bar --payload-literal 'hello bar' -f
    receptorctl work submit echoint --node bar --no-payload
    receptorctl work list"""


class Mesh:
    """The two nodes foo and bar, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "foo.sock"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"}
        for node in ("foo", "bar"):
            shutil.copy(SEED / f"{node}.yml", self.configuration(node))

    def configuration(self, node: str) -> Path:
        return self.folder / f"{node}.yml"

    def log(self, node: str) -> Path:
        return self.folder / f"{node}.log"

    def keep_to_itself(self) -> None:
        """Give the nodes a port, a socket and a data folder that only this run has."""
        port, data = free_port(), f"datadir: {self.folder}/data"
        self.replace("foo", "id: foo", f"id: foo\n    {data}")
        self.replace("foo", "port: 2222", f"port: {port}\n    bindaddr: 127.0.0.1")
        self.replace("foo", "filename: /tmp/foo.sock", f"filename: {self.socket}")
        self.replace("bar", "id: bar", f"id: bar\n    {data}")
        self.replace("bar", "address: localhost:2222", f"address: localhost:{port}")

    def sign_and_verify(self) -> None:
        private, public = self.folder / "signworkprivate.pem", self.folder / "signworkpublic.pem"
        signing = f"- work-signing:\n    privatekey: {private}\n    tokenexpiration: 30m\n\n"
        verification = f"- work-verification:\n    publickey: {public}\n\n"
        self.replace("foo", "- work-command:", f"{signing}- work-command:")
        self.replace("bar", "- control-service:", f"{verification}- control-service:")
        self.replace("bar", "workType: echopayload", "workType: echopayload\n    verifysignature: true")

    def replace(self, node: str, before: str, after: str) -> None:
        """Replace the one place in a node's configuration that holds the text; print the new lines."""
        text = self.configuration(node).read_text()
        if text.count(before) != 1:
            raise StoryBroken(f"{node}.yml holds {before!r} {text.count(before)} times instead of once")
        self.configuration(node).write_text(text.replace(before, after))
        for line in after.splitlines():
            if line and line != before:
                print(f"  {node}.yml  {line.strip()}")

    def start(self) -> None:
        """Start both nodes; return when foo knows which work bar does."""
        self.start_node("foo")
        self.wait_for("foo's control service", "Node ID: foo")  # then bar reaches foo with its first dial
        self.start_node("bar")
        self.wait_for("the work that bar does", "echopayload")

    def start_node(self, node: str) -> None:
        command = ["receptor", "--config", str(self.configuration(node))]
        print(f"$ {' '.join(command)} &", flush=True)
        with self.log(node).open("ab") as log:
            # A session of its own keeps Ctrl-C from the node, so that we can still end its work in order.
            self.running[node] = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, what: str, shown: str) -> None:
        """Return when foo's status shows a text."""
        end = time.monotonic() + LONGEST_START
        while shown not in (status := self.quietly(f"receptorctl --socket {self.socket} status")):
            for node, process in self.running.items():
                if process.poll() is not None:
                    raise StoryBroken(f"node {node} ended with exit code {process.returncode}")
            if time.monotonic() > end:
                raise StoryBroken(f"foo's status lacks {what} after {LONGEST_START:.0f} seconds:\n{status}")
            time.sleep(0.2)

    def types(self, line: str, expect: str = "", succeeds: bool = True) -> str:
        """Print a line of shell, run it, show its output as it comes; return that output."""
        print(f"$ {line}", flush=True)
        said = ""
        with self.shell(line) as process:
            assert process.stdout
            for text in process.stdout:
                print(text, end="", flush=True)
                said += text
        if (process.returncode == 0) != succeeds:
            raise StoryBroken(f"the last command ended with exit code {process.returncode}")
        if expect not in said:
            raise StoryBroken(f"the output of the last command should hold {expect!r}")
        return said

    def submits(self, line: str) -> str:
        """Type a work submit; return the id of the new unit."""
        found = re.search(r"Unit ID: (\S+)", self.types(line, expect="Unit ID: "))
        assert found
        return found[1]

    def quietly(self, line: str) -> str:
        return self.shell(line).communicate()[0]

    def shell(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def cancel_all_work(self) -> None:
        """Cancel every unit of foo's; commands outlive their node, and none may outlive the demo."""
        foo = self.running.get("foo")
        if foo and foo.poll() is None:
            ctl = f"receptorctl --socket {self.socket} work"
            self.quietly(f"{ctl} cancel $({ctl} list --quiet)")

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for node, process in self.running.items():
            try:
                process.wait(LONGEST_STOP)
            except subprocess.TimeoutExpired:
                print(f"Node {node} did not stop within {LONGEST_STOP:.0f} seconds; it is killed.", flush=True)
                process.kill()
                process.wait()
        self.running.clear()

    def ends_of_logs(self) -> str:
        logs = [self.log(node) for node in ("foo", "bar") if self.log(node).exists()]
        return "\n\n".join(f"The end of {log}:\n" + last_lines(log) for log in logs)


def last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def has_recent_bash() -> bool:
    bash = shutil.which("bash")
    return bash is not None and subprocess.run([bash, "-c", "(( BASH_VERSINFO[0] >= 4 ))"]).returncode == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def numbers_to(last: int) -> str:
    return "".join(f"{number}\n" for number in range(1, last + 1))


def from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
