"""deploy/farm.example.env names exactly the settings there are, with their defaults."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields

from farm.settings import FarmSettings
from tests.imports import ROOT

FILE = ROOT / "deploy" / "farm.example.env"
#: Defaults that differ from machine to machine, or are "none": the file shows an example instead.
EXAMPLES = {
    "storage",
    "s3_endpoint",
    "cache",
    "lora_dir",
    "url",
    "api_key",
    "model",
    "text_encoder_device",
    "device_gb",
    *("webhook_url", "webhook_secret"),
    *("max_open_videos", "keep_days"),
    *("vram_class", "node_ip", "ray"),
}


def documented() -> list[tuple[str, str]]:
    """(name, value) of each FARM_ line, in the file's order."""
    return re.findall(r"^#?(FARM_\w+)=(.*)$", FILE.read_text(), flags=re.MULTILINE)


def test_each_setting_is_documented_once() -> None:
    """No setting is missing, none is documented twice, none is documented that does not exist."""
    assert sorted(name for name, _ in documented()) == sorted(f"FARM_{f.name.upper()}" for f in fields(FarmSettings))


def test_the_values_shown_are_the_defaults() -> None:
    """What the file shows behind a `#` is what holds without it."""
    shown = dict(documented())
    for field in fields(FarmSettings):
        if field.name not in EXAMPLES and field.default is not MISSING:
            assert shown[f"FARM_{field.name.upper()}"] == str(field.default)


def test_all_values_are_taken() -> None:
    """A file with every line in force is read without complaint, and each value is the one that is then used."""
    shown = dict(documented())
    assert FarmSettings.from_env(shown).to_env() == shown
