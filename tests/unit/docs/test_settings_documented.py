"""deploy/farm.example.env is made from the settings."""

from __future__ import annotations

import re

from deploy.terminal.example_env import FILE, example_env
from farm.settings import PARTS, FarmSettings


def test_the_file_is_the_one_that_the_settings_give() -> None:
    """`python -m deploy.terminal.example_env` writes it."""
    assert FILE.read_text(encoding="utf-8") == example_env()


def test_each_setting_says_what_it_is_for() -> None:
    """No setting lacks a description; each part's title stands before a setting that exists."""
    assert all(field.description for field in FarmSettings.model_fields.values())
    assert PARTS.keys() <= FarmSettings.model_fields.keys()


def test_all_defaults_are_taken() -> None:
    """A file with every line in force gives the default settings, but for the user's own folders."""
    shown = dict(re.findall(r"^#(FARM_\w+)=(.*)$", example_env(), flags=re.MULTILINE))
    assert len(shown) == len(FarmSettings.model_fields)
    homes = {"storage", "cache", "lora_dir", "ray_dir"}
    read, plain = (settings.model_dump(exclude=homes) for settings in (FarmSettings.from_env(shown), FarmSettings()))
    assert read == plain
