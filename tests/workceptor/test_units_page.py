"""docs/units.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from receptor.config.files import load_file
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.processes import GRACE, TERM_GRACE
from receptor.workceptor.remote_unit import ORDER_TIME
from receptor.workceptor.status import State

PAGE = Path(__file__).parents[2].joinpath("docs/units.md").read_text()


def first_column(heading: str) -> list[str]:
    """What the first column of the table under a heading holds."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")][2:]


def test_the_states_are_all_there() -> None:
    assert first_column("States") == [state.title for state in State]


def test_the_files_are_all_there() -> None:
    folder = UnitFolder(Path("unit"))
    files = [folder.status_file, folder.lock_file, folder.kept_file, folder.stdin_file, folder.stdout_file]
    named = re.findall("`(.*?)`", " ".join(first_column("Files")))
    files += [folder.process_file, folder.exit_file, folder.submission_file, folder.order_file]
    files += [folder.environment_file, folder.log_file]
    assert named == [file.name for file in files]


def test_the_times_are_right() -> None:
    assert f"within {ORDER_TIME:.0f}\n  seconds" in PAGE
    assert f"after {GRACE:.0f} seconds SIGTERM, and {TERM_GRACE:.0f} seconds later SIGKILL" in PAGE


def test_the_example_of_signed_work_is_a_configuration(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = tmp_path / "signworkprivate.pem", tmp_path / "signworkpublic.pem"
    no_password = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    blocks = re.findall("```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "both.yml"
    file.write_text("- local-only\n" + "".join(blocks).replace("/full/path", str(tmp_path)))
    configuration = load_file(file)
    assert configuration.work_signing is not None
    assert configuration.work_verification is not None
    assert [command.verify_signature for command in configuration.work_commands] == [True]
