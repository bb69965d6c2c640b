from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from receptor_process import ENVIRONMENT

from receptor.certificates.bundles import read_bundle
from receptor.certificates.node_names import node_ids
from receptor.certificates.reading import read_certificates
from receptor.cli.certs import run_certs
from receptor.errors import ConfigurationError, OperatingError

RECORDED = Path(__file__).parents[1] / "data" / "certs"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_command_makes_an_authority_and_a_node_s_certificate(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_certs(["node", "foo", "--ca", "some/certs", "--dns", "foo.example.com", "--ip", "192.0.2.1"])
    folder = in_folder / "some" / "certs"
    assert {path.name for path in folder.iterdir()} == {"ca.crt", "ca.key", "foo.crt", "foo.key"}
    said = capsys.readouterr().out
    assert all(f"some/certs/{path.name}: " in said for path in folder.iterdir())
    assert yaml.safe_load(said[said.index("- tls-server:") : said.index("Its listeners")]) == [
        {
            "tls-server": {
                "name": "mesh",
                "cert": str(folder / "foo.crt"),
                "key": str(folder / "foo.key"),
                "requireclientcert": True,
                "clientcas": str(folder / "ca.crt"),
            }
        },
        {
            "tls-client": {
                "name": "mesh",
                "cert": str(folder / "foo.crt"),
                "key": str(folder / "foo.key"),
                "rootcas": str(folder / "ca.crt"),
            }
        },
    ]


def test_all_nodes_share_an_authority(capsys: pytest.CaptureFixture[str]) -> None:
    run_certs(["ca", "--out", "certs", "--name", "our mesh", "--days", "30"])
    run_certs(["node", "foo", "--ca", "certs"])
    run_certs(["node", "edge:1", "--ca", "certs", "--out", "edge", "--days", "7"])
    (ca,) = read_certificates(Path("certs/ca.crt"))
    for path, node_id, days in (("certs/foo.crt", "foo", 30), ("edge/edge%3A1.crt", "edge:1", 7)):
        (made,) = read_certificates(Path(path))
        made.verify_directly_issued_by(ca)
        assert node_ids(made) == (node_id,)
        assert (made.not_valid_after_utc - made.not_valid_before_utc).days == days
    assert "new authority, our mesh" in capsys.readouterr().out


def test_what_is_in_certificates_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run_certs(["show", str(RECORDED / "ca.crt"), str(RECORDED / "foo.crt")])
    said = capsys.readouterr().out
    for text in ("ca.crt:\n", "foo.crt:\n", "an authority", "node id foo-alias", "DNS name foo.example.com", "SHA-256"):
        assert text in said


def test_a_bad_file_keeps_no_other_from_being_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.crt").touch()
    with pytest.raises(ConfigurationError) as told:
        run_certs(["show", "nosuch.crt", str(RECORDED / "ca.crt"), "empty.crt", str(RECORDED / "foo.crt")])
    assert [line.split(":")[0] for line in str(told.value).splitlines()] == ["nosuch.crt", "empty.crt"]
    said = capsys.readouterr().out
    assert "ca.crt:\n" in said
    assert "foo.crt:\n" in said


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["ca", "--help"], ["node", "--help"], ["show", "--help"], ["bundle", "--help"]]
)
def test_help_begins_with_what_it_is_for_and_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_certs(words)
    said = capsys.readouterr().out
    assert said.index("Examples:") < said.index("Options:")
    assert "receptor certs" in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["ca"], "Missing option '--out' ('receptor certs ca --help' explains)"),
        (["node", "foo"], "Missing option '--ca'"),
        (["node", "localhost", "--ca", "certs"], "'localhost' is not a name other than 'localhost'"),
        (["node", "a/b", "--ca", "certs"], "'a/b' is not a name"),
        (["node", "foo", "--ca", "certs", "--dns", "a b"], "'a b' is not a DNS name such as"),
        (["node", "foo", "--ca", "certs", "--dns", "192.0.2.1"], "is an IP address; give it with --ip"),
        (["node", "foo", "--ca", "certs", "--ip", "1"], "'1' is not an IP address such as"),
        (["node", "foo", "--ca", "certs", "--days", "0"], "0 is not in the range"),
        (["ca", "--out", "certs", "--name", ""], "'' is not text of 1 to 64 characters"),
        (["bundle", "foo"], "Missing option '--ca'"),
        (["bundle", "foo", "--ca", "certs", "--peer", "bar"], "'bar' is not an address such as foo.example.com:27199"),
        (["show"], "Missing argument 'FILE...'"),
        (["show", "nosuch.crt"], "nosuch.crt: there is no such file"),
    ],
)
def test_what_is_wrong_is_told_on_one_line_and_nothing_is_made(in_folder: Path, words: list[str], reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run_certs(words)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(in_folder.iterdir()) == []


def test_a_bundle_is_what_the_files_are(capsys: pytest.CaptureFixture[str]) -> None:
    run_certs(["bundle", "edge:1", "--ca", "certs", "--peer", "foo:27199", "--peer", "udp:bar:1"])
    bundle = read_bundle(Path("edge%3A1.bundle"))
    assert (bundle.node, bundle.peers) == ("edge:1", ("foo:27199", "udp:bar:1"))
    assert bundle.key == Path("certs/edge%3A1.key").read_text()
    assert bundle.authority == Path("certs/ca.crt").read_text()
    said = capsys.readouterr().out
    assert said.endswith("  receptor init --bundle edge%3A1.bundle\n")
    assert "PRIVATE KEY" not in said


def test_a_bundle_that_is_there_is_not_written_over() -> None:
    Path("foo.bundle").write_text("mine")
    with pytest.raises(OperatingError, match=r"foo\.bundle: the file exists already"):
        run_certs(["bundle", "foo", "--ca", "certs"])
    assert [path.name for path in Path().iterdir()] == ["foo.bundle"]


def test_an_authority_is_never_replaced() -> None:
    run_certs(["ca", "--out", "certs"])
    before = Path("certs/ca.key").read_bytes()
    with pytest.raises(OperatingError, match=r"certs/ca.crt: the file exists already"):
        run_certs(["ca", "--out", "certs"])
    assert Path("certs/ca.key").read_bytes() == before


def test_a_folder_that_can_t_be_made_is_told() -> None:
    Path("file").touch()
    with pytest.raises(OperatingError, match=r"file/certs: the folder can't be made: Not a directory"):
        run_certs(["ca", "--out", "file/certs"])


def test_names_are_shown_on_terminals_of_few_letters() -> None:
    """As far as they go: no name can make the program fail."""
    script = "from receptor.cli.certs import run_certs; run_certs(['node', 'жук', '--ca', 'certs'])"
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "certificate of node \\u0436\\u0443\\u043a" in done.stdout


def test_help_needs_no_cryptography() -> None:
    """It answers at once."""
    script = "import sys; from receptor.cli.certs import run_certs; run_certs(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cryptography" not in done.stdout.split()
