"""Files that commands write: nothing that is there is lost, and devices and pipes are written into."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import cli
from deploy.terminal.target import deliver, target_of
from farm.errors import ConfigError
from farm.jobs import Record
from framefarm_client.names import file_name
from tests.unit.conftest import Hand

Out = pytest.CaptureFixture[str]


def written(target: Path, text: str = "new") -> Path | None:
    """Deliver a text."""
    return deliver(target, lambda path: path.write_text(text))


def test_an_existing_file_stays(tmp_path: Path) -> None:
    """The next take is cat-2.mp4, then cat-3.mp4; `force` replaces."""
    (tmp_path / "cat.mp4").write_text("old")
    for free in ("cat-2.mp4", "cat-3.mp4"):
        assert written(target_of(str(tmp_path / "cat.mp4"), name="x.mp4", force=False)) == tmp_path / free
    assert (tmp_path / "cat.mp4").read_text() == "old"
    assert written(target_of(str(tmp_path / "cat.mp4"), name="x.mp4", force=True)) == tmp_path / "cat.mp4"
    assert (tmp_path / "cat.mp4").read_text() == "new"


def test_a_folder_gets_a_file_of_the_default_name(tmp_path: Path) -> None:
    """Without -o the file lies in the current folder."""
    assert target_of(str(tmp_path), name="x.mp4", force=False) == tmp_path / "x.mp4"
    assert target_of(None, name="x.mp4", force=False) == Path("x.mp4")


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The link stays a link: its file is written, whether it exists or not."""
    link, file = tmp_path / "link.mp4", tmp_path / "file.mp4"
    link.symlink_to(file)
    assert written(target_of(str(link), name="x.mp4", force=False)) == file
    assert link.is_symlink()
    assert written(target_of(str(link), name="x.mp4", force=True), "newer") == file
    assert link.read_text() == "newer"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """It stays a pipe, and its reader gets the bytes."""
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert written(target_of(str(pipe), name="x.mp4", force=False)) == pipe
    reader.join()
    assert read == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_dash_is_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The bytes alone; there is no path to print."""
    assert written(target_of("-", name="x.mp4", force=False)) is None
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"new"


@pytest.mark.parametrize("out", ["nowhere/cat.mp4", "folder/"])
def test_what_cannot_be_written_is_refused_first(out: str, tmp_path: Path) -> None:
    """A missing folder is named, before anything is rendered."""
    with pytest.raises(ConfigError, match=r"cannot write .*: the folder .* does not exist"):
        target_of(str(tmp_path / out / "x.mp4"), name="x.mp4", force=False)


def test_a_name_must_say_the_format_that_is_written(tmp_path: Path) -> None:
    """An avi is not made by calling an mp4 so; a slash at the end means a folder, which must be there."""
    for out, word in (("x.avi", ".avi files are not made here"), ("x", "its name says no format")):
        with pytest.raises(ConfigError, match=f"{word}; let it end in .mp4"):
            target_of(str(tmp_path / out), name="x.mp4", force=False)
    assert target_of(str(tmp_path / "x.MP4"), name="x.mp4", force=False) == tmp_path / "x.MP4"
    assert target_of(f"{tmp_path}/", name="x.mp4", force=False) == tmp_path / "x.mp4"
    with pytest.raises(ConfigError, match=r"the folder .* does not exist"):
        target_of(f"{tmp_path}/new/", name="x.mp4", force=False)


@pytest.mark.parametrize(
    ("name", "file"),
    [("a/b: c", "a-b- c"), ("../../etc", "etc"), ("Käfer, 猫", "Käfer, 猫"), ("..", ""), ("猫" * 86, "猫" * 40)],
)
def test_a_videos_name_becomes_a_files(name: str, file: str) -> None:
    """Without what a path or a shell would read."""
    assert file_name(name) == file


@pytest.mark.usefixtures("farm_url")
def test_fetch_uses_the_videos_name(accept: Callable[..., Record], hand: Hand, tmp_path: Path, capsys: Out) -> None:
    """In the folder that was named."""
    job = accept(name="a cat").job.id
    hand.dispatcher.nudge(job)
    hand.finish()
    assert cli.main(["fetch", job, "-o", f"{tmp_path}/"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a cat.mp4'}\n"


@pytest.mark.usefixtures("farm_url")
def test_fetch_writes_a_new_take(accept: Callable[..., Record], hand: Hand, tmp_path: Path, capsys: Out) -> None:
    """`framefarm fetch -o cat.mp4` twice: two files, each path printed."""
    job = accept().job.id
    hand.dispatcher.nudge(job)
    hand.finish()
    for name in ("cat.mp4", "cat-2.mp4"):
        assert cli.main(["fetch", job, "-o", str(tmp_path / "cat.mp4")]) == 0
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
    assert (tmp_path / "cat.mp4").read_bytes() == (tmp_path / "cat-2.mp4").read_bytes()
