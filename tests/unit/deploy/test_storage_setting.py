"""FARM_STORAGE and FARM_S3_ENDPOINT: what is taken, what is refused, and where a bucket's lock lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.node.local import check_folders
from farm.errors import ConfigError
from farm.settings import FarmSettings
from tests.imports import ROOT


@pytest.mark.parametrize("storage", ["s3://farm", "s3://my.farm-1/a/b_c/D.1", "s3://farm/a/"])
def test_buckets_are_taken(storage: str) -> None:
    """A bucket, with or without a prefix; it survives the way through the environment."""
    settings = FarmSettings(storage=storage, s3_endpoint="https://s3.example.org:7480")
    assert FarmSettings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize(
    "storage",
    ["s3://", "s3:///x", "s3://Farm", "s3://f", "s3://farm//x", "s3://farm/../x", "s3://farm/a b", "gs://farm"],
)
def test_what_names_no_bucket_is_refused(storage: str) -> None:
    """It is not taken for a folder of that name."""
    with pytest.raises(ConfigError, match="FARM_STORAGE="):
        FarmSettings(storage=storage)


def test_an_endpoint_holds_no_password() -> None:
    """Keys in the URL are refused, and not repeated in the message."""
    with pytest.raises(ConfigError, match="FARM_S3_ENDPOINT") as caught:
        FarmSettings(s3_endpoint="http://me:hunter2@host:1")
    assert "hunter2" not in str(caught.value)


def test_each_bucket_has_a_lock_of_its_own() -> None:
    """Lock and log of a farm on a bucket lie on this machine, apart for each bucket, prefix and server."""
    paths = {
        FarmSettings(storage=storage, s3_endpoint=endpoint).storage_path
        for storage in ("s3://farm/a", "s3://farm/b")
        for endpoint in (None, "http://host:1")
    }
    assert len(paths) == 4
    assert all(path.is_absolute() for path in paths)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a home folder")
def test_no_home_folder_is_named_when_it_is_needed() -> None:
    """A user without one can ask a farm elsewhere; a command that needs a folder names the variable to set."""
    code = "from farm.settings import FarmSettings; s = FarmSettings(url='http://a'); print(s.url); s.storage_path"
    caps = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")  # reads the interpreter's files
    become = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", *caps)
    command, env = [*become, sys.executable, "-c", code], {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "http://a\n"
    assert "ConfigError: this user has no home folder: set FARM_STORAGE, or set HOME" in done.stderr


def test_the_cache_is_tried_before_a_farm_starts(tmp_path: Path) -> None:
    """`up` and doctor name the folder and FARM_CACHE; a usable one is created."""
    check_folders(FarmSettings(cache=str(tmp_path / "new")))
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write to the cache .*/file/below.*FARM_CACHE"):
        check_folders(FarmSettings(cache=str(tmp_path / "file" / "below")))


@pytest.mark.parametrize("folder", ["/tmp/tü", "relative", f"/tmp/{'x' * 90}"])
def test_a_folder_for_rays_sockets_is_short_and_plain(folder: str) -> None:
    """Ray would end in "AF_UNIX path length" or a traceback."""
    with pytest.raises(ConfigError, match=r"FARM_RAY_DIR=.*at most 48 ASCII characters"):
        FarmSettings(ray_dir=folder)
