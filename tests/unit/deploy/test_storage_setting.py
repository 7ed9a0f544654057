"""FARM_STORAGE and FARM_S3_ENDPOINT: what is taken, what is refused, and where a bucket's lock lies."""

from __future__ import annotations

import pytest

from farm.errors import ConfigError
from farm.settings import FarmSettings


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
