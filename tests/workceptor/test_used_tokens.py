from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.files import Durability
from receptor.workceptor.used_tokens import UsedTokens

NOW = 1_700_000_000.5
FULL_DISK = Path("/dev/full")


def token_id(number: int) -> str:
    return f"token-{number:016}"


def used(path: Path, number: int, now: float = NOW) -> bool:
    """Whether a new process counts the token as used."""
    tokens = UsedTokens(path)
    tokens.load(now)
    return is_known(tokens, number, now)


def is_known(tokens: UsedTokens, number: int, now: float = NOW) -> bool:
    try:
        tokens.reserve(token_id(number), now + 60, now)
    except CommandError as error:
        return "used before" in str(error)
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "used"


class TestMemory:
    def test_once_and_no_more(self) -> None:
        tokens = UsedTokens(None)
        tokens.reserve(token_id(1), NOW + 60, NOW)
        for later in (0, 59):
            with pytest.raises(CommandError, match="signature was used before"):
                tokens.reserve(token_id(1), NOW + 60, NOW + later)
        tokens.reserve(token_id(2), NOW + 60, NOW)

    def test_the_number_is_bounded(self) -> None:
        tokens = UsedTokens(None, most=3)
        for number, life in enumerate((60, 10, 30)):
            tokens.reserve(token_id(number), NOW + life, NOW)
        with pytest.raises(CommandError, match=r"signature can't be accepted now: 3 .* tokenexpiration"):
            tokens.reserve(token_id(3), NOW + 60, NOW + 9)
        tokens.reserve(token_id(3), NOW + 60, NOW + 12)
        assert not is_known(tokens, 1, NOW + 31)
        assert is_known(tokens, 0, NOW + 31)

    def test_nothing_is_forgotten_before_it_expires(self) -> None:
        tokens = UsedTokens(None)
        tokens.reserve(token_id(1), 100.5, 0.0)
        assert is_known(tokens, 1, 100.4)

    def test_without_a_file_there_is_nothing_to_load_or_save(self) -> None:
        tokens = UsedTokens(None)
        tokens.load(NOW)
        tokens.reserve(token_id(1), NOW + 60, NOW)
        tokens.save()


class TestFile:
    def test_it_outlives_the_process(self, path: Path) -> None:
        tokens = UsedTokens(path)
        tokens.load(NOW)
        assert not path.exists()
        tokens.reserve(token_id(1), NOW + 60, NOW)
        assert not used(path, 1)
        tokens.save()
        assert used(path, 1)
        assert not used(path, 2)
        assert not used(path, 1, NOW + 61)

    def test_a_second_process_adds_to_what_the_first_has_written(self, path: Path) -> None:
        for number in range(3):
            tokens = UsedTokens(path)
            tokens.load(NOW)
            tokens.reserve(token_id(number), NOW + 60, NOW)
            tokens.save()
        assert [used(path, number) for number in range(4)] == [True, True, True, False]

    def test_its_form_and_its_permissions(self, path: Path) -> None:
        tokens = UsedTokens(path)
        tokens.reserve(token_id(1), NOW + 60, NOW)
        tokens.save()
        assert path.read_text().split("\n") == ["", f"1700000061 {token_id(1)}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        UsedTokens(path).load(NOW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_the_expired_are_taken_out_at_the_start(self, path: Path) -> None:
        tokens = UsedTokens(path)
        for number, life in enumerate((60, 10, 30)):
            tokens.reserve(token_id(number), NOW + life, NOW)
        tokens.save()
        UsedTokens(path).load(NOW + 11)
        assert set(path.read_text().split()) == {"1700000061", "1700000031", token_id(0), token_id(2)}

    def test_it_does_not_grow_for_ever(self, path: Path) -> None:
        tokens = UsedTokens(path)
        for number in range(100_000):
            tokens.reserve(token_id(number), NOW + number + 60, NOW + number)
            if number % 10 == 9:
                tokens.save()
        assert path.stat().st_size < 300_000
        assert [used(path, number, NOW + 99_999) for number in (0, 99_900, 99_960, 99_999)] == [
            False,
            False,
            True,
            True,
        ]

    @pytest.mark.parametrize(
        "damage",
        [
            b"\n17000000",
            b"\n1700000060 ",
            b"\n1700000060 token",
            b"\n\0\0\0\0",
            b"\nnever token-0000000000000009",
            b"\n99999999999999999999 token-0000000000000009",
            b"\n1700000060 token-0000000000000009\xff",
        ],
    )
    def test_damaged_lines_are_passed_over(self, path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
        for number, tail in ((1, damage), (2, b"")):
            tokens = UsedTokens(path)
            tokens.reserve(token_id(number), NOW + 60, NOW)
            tokens.save()
            path.write_bytes(path.read_bytes() + tail)
        assert used(path, 1)
        assert f"{path}: passed over 1 damaged lines" in caplog.text
        caplog.clear()
        assert used(path, 2)
        assert caplog.text == ""

    @given(st.binary(max_size=200))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_noise_harms_nothing(self, path: Path, noise: bytes) -> None:
        path.write_bytes(noise)
        tokens = UsedTokens(path)
        tokens.load(NOW)
        tokens.reserve(token_id(1), NOW + 60, NOW)
        tokens.save()
        assert used(path, 1)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(OperatingError, match=str(tmp_path)):
            UsedTokens(tmp_path).load(NOW)


@pytest.mark.parametrize("durability", Durability)
def test_uses_survive_a_loss_of_power_where_that_was_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    synced: list[str] = []

    def sync(file: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{file}"))
        synced.append(f"{name.name} {name.stat().st_size > 0 or 'empty'}" if name.is_file() else name.name)

    monkeypatch.setattr(os, "fsync", sync)
    tokens = UsedTokens(path, durability=durability)
    tokens.load(NOW)
    for number in range(2):
        tokens.reserve(token_id(number), NOW + 60, NOW)
        tokens.save()
    UsedTokens(path, durability=durability).load(NOW)
    folder = path.parent.name
    expected = ["used True", folder, "used True", "used.new True", folder]
    assert synced == ([] if durability is Durability.PROCESS else expected)


class TestTrouble:
    def test_a_full_disk_is_reported_each_time(self) -> None:
        tokens = UsedTokens(FULL_DISK)
        tokens.reserve(token_id(1), NOW + 60, NOW)
        for _ in range(2):
            with pytest.raises(OperatingError, match="/dev/full: No space left on device; free some space"):
                tokens.save()

    def test_what_could_not_be_saved_is_with_the_next(self, tmp_path: Path) -> None:
        folder = tmp_path / "later"
        tokens = UsedTokens(folder / "used")
        tokens.reserve(token_id(1), NOW + 60, NOW)
        with pytest.raises(OperatingError, match=str(folder)):
            tokens.save()
        assert is_known(tokens, 1)
        folder.mkdir()
        tokens.reserve(token_id(2), NOW + 60, NOW)
        tokens.save()
        assert used(folder / "used", 1)
        assert used(folder / "used", 2)

    def test_a_file_that_cannot_be_rewritten_is_used_on(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        tokens = UsedTokens(path)
        tokens.reserve(token_id(1), NOW + 60, NOW)
        tokens.save()
        path.with_name("used.new").mkdir()
        tokens = UsedTokens(path)
        tokens.load(NOW)
        assert "can't be shortened" in caplog.text
        tokens.reserve(token_id(2), NOW + 60, NOW)
        tokens.save()
        assert used(path, 1)
        assert used(path, 2)

    def test_many_threads_save_while_more_is_used(self, path: Path) -> None:
        tokens = UsedTokens(path)
        with ThreadPoolExecutor(8) as threads:
            saves = []
            for number in range(10_000):
                tokens.reserve(token_id(number), NOW + 60, NOW)
                if number % 50 == 0:
                    saves.append(threads.submit(tokens.save))
        for save in saves:
            save.result()
        tokens.save()
        again = UsedTokens(path)
        again.load(NOW)
        assert all(is_known(again, number) for number in range(10_000))

    def test_whoever_returns_from_saving_finds_his_use_on_disk(self, path: Path) -> None:
        """Also if another thread is at his line."""
        tokens = UsedTokens(path)
        with ThreadPoolExecutor(8) as threads:

            def save_and_look(number: int) -> bool:
                tokens.save()
                return token_id(number) in path.read_text()

            looks = []
            for number in range(500):
                tokens.reserve(token_id(number), NOW + 60, NOW)
                looks.append(threads.submit(save_and_look, number))
        assert all(look.result() for look in looks)
