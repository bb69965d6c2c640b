"""``receptor init``: by options and by answers on a terminal, and nodes that were set up by it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import eventually, stat_fields
from receptor_process import COMMAND, ENVIRONMENT, Client, free_port, run_receptor

from receptor.certificates.node_names import node_ids
from receptor.certificates.reading import names_of, read_certificates
from receptor.cli.certs import run_certs
from receptor.cli.init import run_init
from receptor.config.actions import Node
from receptor.config.backend_actions import TcpPeer
from receptor.config.files import load_file
from receptor.config.kinds import Address
from receptor.errors import ConfigurationError, OperatingError

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority, and of a bundle ``bar.bundle`` of its."""
    folder = tmp_path_factory.mktemp("authority")
    done = run_receptor(
        *("certs", "bundle", "bar", "--ca", folder, "--peer", "foo.example.com:27199", "--out", folder / "bar.bundle")
    )
    assert done.returncode == 0, done.stderr
    return folder


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): f"{path.stat().st_mode & 0o777:o}" for path in sorted(folder.rglob("*"))}


def test_a_node_on_its_own(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_init(["--id", "foo", "--work", "count=wc -l", "--config", "n/foo.conf"])
    configuration = load_file(Path("n/foo.conf"))
    assert configuration.node == Node(id="foo", data_dir=in_folder / "n" / "data")
    assert configuration.local_only
    (work,) = configuration.work_commands
    assert work.work_type == "count"
    assert configuration.control_services[0].filename == in_folder / "n" / "foo.sock"
    assert modes(in_folder) == {"n": "750", "n/foo.conf": "640"}
    said = capsys.readouterr().out
    assert "n/foo.conf is a good configuration of node foo: local-only, 1 control-service, 1 work-command\n" in said
    assert f"receptor --config {in_folder}/n/foo.conf\n" in said
    assert f"receptorctl --socket {in_folder}/n/foo.sock status" in said


def test_the_first_node_makes_the_authority_and_keys(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--id", "foo", "--listen", "27199", "--dns", "foo.example.com", "--ip", "192.0.2.1"]
    run_init([*words, "--ca", "ca", "--sign", "--config", "n/foo.conf"])
    assert modes(in_folder) == {
        "ca": "700",
        "ca/ca.crt": "600",
        "ca/ca.key": "600",
        "n": "750",
        "n/foo.conf": "640",
        "n/tls": "750",
        "n/tls/ca.crt": "644",
        "n/tls/foo.crt": "644",
        "n/tls/foo.key": "600",
        "n/work-signing.pem": "600",
        "n/work-verification.pem": "644",
    }
    (certificate,) = read_certificates(Path("n/tls/foo.crt"))
    assert node_ids(certificate) == ("foo",)
    assert len(names_of(Path("n/tls/foo.crt"), certificate)) == 3
    checked = run_receptor("--check", "n/foo.conf")
    assert (checked.returncode, checked.stderr) == (0, "")
    said = capsys.readouterr().out
    ((bundle,), (init,)) = (re.findall(rf"^  receptor ({words} .*)$", said, re.M) for words in ("certs bundle", "init"))
    run_certs(bundle.split()[1:])
    run_init([*init.replace("'", "").split()[1:], "--config", "bar/receptor.conf"])
    bar = load_file(Path("bar/receptor.conf"))
    assert bar.node.id == "bar"
    assert bar.peers == (TcpPeer(address=Address("foo.example.com", 27199), tls="mesh"),)
    assert bar.work_commands[0].verify_signature


def test_a_bundle_says_who_the_node_is_and_whom_it_dials(authority: Path) -> None:
    run_init(
        ["--bundle", str(authority / "bar.bundle"), "--role", "hop", "--listen", "ws:8080", "--config", "bar.conf"]
    )
    configuration = load_file(Path("bar.conf"))
    assert configuration.node.id == "bar"
    assert [one.about.name for one in (*configuration.listeners, *configuration.peers)] == ["ws-listener", "tcp-peer"]
    assert modes(Path("tls")) == {"bar.crt": "644", "bar.key": "600", "ca.crt": "644"}
    (rule,) = configuration.access_rules
    assert rule.allow == {"status"}


def test_the_authority_that_is_there_is_used(authority: Path) -> None:
    before = (authority / "ca.key").read_bytes()
    run_init(["--id", "baz", "--peer", "foo:1", "--ca", str(authority), "--config", "baz.conf", "--no-redial"])
    (ca,), (made,) = read_certificates(authority / "ca.crt"), read_certificates(Path("tls/baz.crt"))
    made.verify_directly_issued_by(ca)
    assert (authority / "ca.key").read_bytes() == before
    assert not load_file(Path("baz.conf")).peers[0].redial


def test_nothing_is_overwritten_unless_asked_to_and_keys_are_kept(authority: Path) -> None:
    words = ["--id", "baz", "--peer", "foo:1", "--ca", str(authority), "--config", "baz.conf", "--sign"]
    run_init(words)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(OperatingError, match=r"^there is .*/baz.crt already; --force writes over"):
        run_init([*words, "--no-redial"])
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    run_init([*words, "--no-redial", "--force"])
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    changed = {str(path) for path in after if after[path] != before.get(path)}
    assert changed == {"baz.conf", "tls/baz.crt"}
    assert after.keys() == before.keys()


def test_a_dry_run_shows_all_and_writes_nothing(authority: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_init(["--bundle", str(authority / "bar.bundle"), "--config", "n/bar.conf", "--dry-run"])
    said = capsys.readouterr().out
    assert "- tcp-peer:\n    address: foo.example.com:27199\n" in said
    assert "/n/tls/bar.key: would be written (mode 0600)" in said
    assert "PRIVATE KEY" not in said
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--listen", "27199"], "say how links are secured: --ca DIR"),
        (["--ca", "ca", "--no-tls", "--peer", "a:1"], "--ca, --bundle and --no-tls exclude each other"),
        (["--ca", "ca"], "there is no link to secure; add --listen or --peer"),
        (["--id", "a/b"], "'a/b' is not a name"),
        (["--listen", "many", "--no-tls"], "'many' is not a port such as 27199"),
        (["--peer", "foo", "--no-tls"], "'foo' is not an address such as foo.example.com:27199"),
        (["--work", "cat"], "'cat' is not a work type and its command, such as cat=cat"),
        (["--work", "remote=cat"], "'remote=cat' is not a work type"),
        (["--role", "boss"], "'boss' is not one of"),
        (["--role", "hop"], "a hop node passes traffic on, so it needs --listen or --peer"),
        (["--role", "control", "--work", "cat=cat"], "a control node runs no work; leave --work out"),
        (["--role", "execution"], "an execution node needs work types to run, such as"),
        (["--role", "hop", "--listen", "1", "--no-tls", "--sign"], "a hop node sends no work that could be signed"),
        (["--peer", "udp:foo:1", "--ca", "ca"], "links over UDP can't be secured"),
        (["--peer", "ws://foo/", "--ca", "ca"], "has an address that begins with wss://"),
        (["--bundle", "no.bundle"], "no.bundle: the bundle can't be read: No such file or directory; name a file that"),
        (["--verification-key", "no.pem", "--work", "a=cat"], "no.pem: there is no such file"),
        (["--nonsense"], "No such option"),
    ],
)
def test_mistakes_are_told_and_nothing_is_made(words: list[str], reason: str) -> None:
    with pytest.raises((ConfigurationError, OperatingError)) as told:
        run_init(["--id", "foo", "--config", "n/foo.conf", *words])
    assert reason in str(told.value)
    assert list(Path().iterdir()) == []


def test_a_bundle_that_is_none_is_refused(authority: Path) -> None:
    with pytest.raises(ConfigurationError, match="this is no bundle, or it is damaged"):
        run_init(["--bundle", str(authority / "ca.crt"), "--config", "n/foo.conf"])


def test_what_a_check_finds_wrong_keeps_all_from_being_written(authority: Path, tmp_path: Path) -> None:
    """The certificate in the bundle is bar's. The message names the file as it would be, not where it was tried."""
    with pytest.raises(ConfigurationError) as told:
        run_init(["--bundle", str(authority / "bar.bundle"), "--id", "other", "--config", "n/foo.conf"])
    assert f"{tmp_path}/n/tls/other.crt: the certificate is for 'bar', and this node is 'other'" in str(told.value)
    assert list(Path().iterdir()) == []


def test_a_folder_that_can_t_be_written_is_told_and_nothing_is_left() -> None:
    Path("n").write_text("")
    with pytest.raises((ConfigurationError, OperatingError), match=r"/n"):
        run_init(["--id", "foo", "--config", "n/foo.conf"])
    assert [path.name for path in Path().iterdir()] == ["n"]


# On a terminal


class Dialogue:
    """``receptor init`` on a terminal of its own."""

    def __init__(self, words: list[str]) -> None:
        self._end, end = pty.openpty()
        environment = {**ENVIRONMENT, "TERM": "dumb"}
        self.process = subprocess.Popen(
            [*COMMAND, "init", *words], stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True
        )
        os.close(end)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Read until the text was shown, since the last time."""
        while text not in self.shown:
            self.shown += self._read()
        self.shown = self.shown.partition(text)[2]

    def answer(self, question: str, text: str) -> None:
        self.wait_for(question)
        os.write(self._end, text.encode() + b"\n")

    def rest(self) -> str:
        """All that is shown until it ends."""
        while part := self._read(at_end=True):
            self.shown += part
        self.process.wait(PATIENCE)
        return self.shown.replace("\r\n", "\n")

    def press_ctrl_c(self) -> None:
        """Once it waits for an answer: just before, it would notice only when the answer is there."""
        self.wait_for(": ")
        eventually(lambda: stat_fields(self.process.pid)[0] == "S", PATIENCE)
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        os.close(self._end)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)

    def _read(self, at_end: bool = False) -> str:
        readable, _, _ = select.select([self._end], [], [], PATIENCE)
        assert readable, f"nothing more is shown after: {self.shown}"
        try:
            part = os.read(self._end, 4096)
        except OSError:  # Linux has no other end of file for a terminal whose other end is closed.
            part = b""
        assert part or at_end, f"it ended; shown: {self.shown}"
        return part.decode()


@contextmanager
def dialogue(*words: str) -> Iterator[Dialogue]:
    opened = Dialogue(list(words))
    try:
        yield opened
    finally:
        opened.close()


def test_questions_are_answered_on_a_terminal(authority: Path) -> None:
    with dialogue("--config", "n/foo.conf") as asked:
        asked.answer("if there is one: ", "")
        asked.answer("The node's name, unlike all others of the mesh", "a/b")
        asked.answer("Error: 'a/b' is not a name other than 'localhost', without '/' and white space", "foo")
        asked.answer("What is the node for [execution]: ", "boss")
        asked.answer("Error: 'boss' is not one of these", "hybrid")
        asked.answer("Port to listen on for other nodes ('none' for none) [27199]: ", "127.0.0.1:27300")
        asked.answer("(empty for no more): ", "")
        asked.answer("Another node to connect to", "bar.example.com:27199")
        asked.answer("(empty for no more): ", "")
        asked.answer("Folder of the authority", str(authority))
        asked.answer("What others dial this machine by", "foo.example.com, 192.0.2.1")
        asked.answer("Work it runs, as in count=wc -l (empty for none): ", "count=wc -l")
        asked.answer("(empty for no more): ", "")
        asked.answer("Sign the work it sends", "n")
        asked.wait_for("- work-command:")
        asked.answer("Write this to ", "y")
        assert "is a good configuration of node foo" in asked.rest()
        assert asked.process.returncode == 0
    configuration = load_file(Path("n/foo.conf"))
    assert configuration.node.id == "foo"
    assert [one.about.name for one in (*configuration.listeners, *configuration.peers)] == ["tcp-listener", "tcp-peer"]
    (certificate,) = read_certificates(Path("n/tls/foo.crt"))
    assert len(names_of(Path("n/tls/foo.crt"), certificate)) == 3


def test_a_bundle_spares_most_questions(authority: Path) -> None:
    with dialogue("--config", "bar.conf") as asked:
        asked.answer("if there is one: ", "nosuch.bundle")
        asked.answer("Error: nosuch.bundle: the bundle can't be read: No such file", str(authority / "bar.bundle"))
        asked.answer("What is the node for", "")
        asked.answer("Port to listen on for other nodes (empty for none): ", "")
        asked.answer("Another node to connect to", "")
        asked.answer("Work it runs, as in count=wc -l (at least one): ", "")
        asked.answer("Error: such a node needs one; Ctrl-C leaves all as it was", "cat")
        asked.answer("Error: 'cat' is not a work type and its command, such as cat=cat", "cat=cat")
        asked.answer("(empty for no more): ", "")
        asked.answer("Write this to ", "")
        assert "receptor --config " in asked.rest()
    assert load_file(Path("bar.conf")).node.id == "bar"


@pytest.mark.parametrize("question", ["if there is one", "What is the node for", "Write this to "])
def test_ctrl_c_leaves_nothing(question: str, authority: Path) -> None:
    answers = {
        "if there is one": str(authority / "bar.bundle"),
        "What is the node for": "hop",
        "Port to listen on": "",
        "Another node to connect to": "",
    }
    with dialogue("--config", "n/bar.conf") as asked:
        for one, answer in answers.items():
            if one == question:
                break
            asked.answer(one, answer)
        asked.wait_for(question)
        asked.press_ctrl_c()
        asked.rest()
        assert asked.process.returncode == 130
    assert list(Path().iterdir()) == []


def test_nobody_is_asked_for_nothing() -> None:
    Path("foo.conf").write_text("mine")
    with dialogue("--config", "foo.conf") as asked:
        assert "foo.conf already, for a node; --force makes it anew" in asked.rest()
    assert asked.process.returncode == 1


def test_without_a_terminal_nothing_is_asked() -> None:
    done = run_receptor("init", "--config", "n/foo.conf", "--dry-run")
    assert done.returncode == 0
    assert "local-only" in done.stdout


# What was set up works


def test_nodes_that_were_set_up_link_up_and_work(short_folder: Path, authority: Path) -> None:
    """Over TLS."""
    port = free_port()
    foo, bar, bundle = short_folder / "foo.conf", short_folder / "bar.conf", short_folder / "bar.bundle"
    address = f"127.0.0.1:{port}"
    run_init([
        *("--id", "foo", "--listen", address, "--ip", "127.0.0.1"), *("--ca", str(authority), "--config", str(foo)),
    ])  # fmt: skip
    run_certs(["bundle", "bar", "--ca", str(authority), "--peer", address, "--out", str(bundle)])
    run_init(["--bundle", str(bundle), "--work", "cat=cat", "--config", str(bar)])
    processes = []
    try:
        for file in (foo, bar):  # Who listens is there before somebody dials.
            words = [*COMMAND, "--config", str(file)]
            processes.append(subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL))
            eventually(file.with_suffix(".sock").exists, PATIENCE)
        eventually(lambda: submits(short_folder / "foo.sock"), PATIENCE)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            assert process.wait(PATIENCE) == 0


def submits(path: Path) -> bool:
    """Whether the node there knows bar, and bar takes work from it."""
    try:
        with Client(path) as client:
            if "bar" not in str(client.ask("status")["RoutingTable"]):
                return False
        with Client(path) as client:
            client.send("work submit bar cat")
            client.line()
            client.end(b"hello")
            assert client.answer()["result"] == "Job Started"
    except OSError:
        return False
    return True
