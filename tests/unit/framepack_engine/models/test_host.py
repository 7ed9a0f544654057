"""The share of its machine's memory that a process may use."""

from __future__ import annotations

from pathlib import Path

from framepack_engine.models.host import available_bytes, host_bytes


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    """The least of the machine's memory and what a control group allows; a group without a limit changes nothing."""
    machine = host_bytes(())
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "less").write_text(f"{1 << 20}\n")
    (tmp_path / "more").write_text(f"{1 << 62}\n")
    files = [tmp_path / name for name in ("max", "more", "missing")]
    assert host_bytes(tuple(files)) == machine > 1 << 20
    assert host_bytes((*files, tmp_path / "less")) == 1 << 20


def test_what_is_available_is_what_linux_says() -> None:
    """MemAvailable, in bytes; nothing where it is not named."""
    assert available_bytes("MemTotal: 9 kB\nMemAvailable:   1024 kB\n") == 1 << 20
    assert available_bytes("") == 0
    assert 0 < available_bytes() <= host_bytes(())
