"""One farm with a real worker for all tests of the page, and Debian's Chromium.

The farm has keys, and the browser reaches it under a name that is no secure origin, as it would in a network at home.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright
from safetensors.numpy import save_file

from lab.bench.full_storage import fill_storage
from tests.acceptance.page.videos import CROWD, MOST_OPEN
from tests.acceptance.page.visit import KEYS, Visit
from tests.farm_process import FarmProcess, running_farm
from tests.patience import patient

CHROMIUM = shutil.which("chromium")
FLAGS = ("--no-sandbox", "--host-resolver-rules=MAP farm.test 127.0.0.1")

# `make test` runs these files, but for tests with the mark `page`; `make page` runs the rest.
SHORT = {"test_create.py", "test_losses.py", "test_people.py", "test_queue.py", "test_screens.py", "test_typing.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and leave them out where there is no browser."""
    marks = [
        pytest.mark.acceptance,
        pytest.mark.skipif(
            CHROMIUM is None and "TEST_CHROMIUM" not in os.environ,
            reason="no chromium here: `make browser` installs it",
        ),
    ]
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for mark in marks if item.path.name in SHORT else [*marks, pytest.mark.page]:
                item.add_marker(mark)


@pytest.fixture(scope="package")
def farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """One farm with one worker and three owners: ann, an operator, whom `farm.http` speaks for; ben; and crowd.

    crowd has 500 ended videos and 500 that are paused. Leave the farm as you found it.
    """
    entries = ",".join(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
    folder = tmp_path_factory.mktemp("page")
    write_lora(folder / "loras")
    fill_storage(
        folder / "storage",
        videos=2 * CROWD,
        open_videos=CROWD,
        owner="crowd",
        now_ms=int(time.time() * 1000),
    )
    with running_farm(
        folder / "storage",
        cache=tiny_cache,
        API_KEYS=entries,
        OPERATORS="ann",
        LORA_DIR=str(folder / "loras"),
        MAX_OPEN_VIDEOS=str(MOST_OPEN),
    ) as farm:
        farm.http.headers["Authorization"] = f"Bearer {KEYS['ann']}"
        yield farm


def write_lora(folder: Path) -> None:
    """Write a LoRA for the tiny model, with a trigger word in its file and a note beside it."""
    folder.mkdir()
    halves = {"A": (2, 32), "B": (32, 2)}
    key, draw = "transformer.transformer_blocks.0.attn.to_q", np.random.default_rng(0)
    tensors = {f"{key}.lora_{half}.weight": draw.normal(size=shape).astype("f4") for half, shape in halves.items()}
    save_file(tensors, folder / "ink.safetensors", metadata={"modelspec.trigger_phrase": "ink wash"})
    (folder / "ink.txt").write_text("Looks like ink on paper.")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which finds the farm under the name farm.test."""
    assert CHROMIUM is not None, "TEST_CHROMIUM is set, but there is no chromium: `make browser`"
    expect.set_options(timeout=patient(20) * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def window(browser: Browser, tmp_path: Path) -> Iterator[BrowserContext]:
    """A window whose tabs hide each other. In a browser that Playwright starts itself, every tab counts as shown."""
    command = [str(CHROMIUM), "--headless=new", *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            listening = next(line for line in process.stderr if line.startswith("DevTools listening on "))
            there = browser.browser_type.connect_over_cdp(listening.split()[-1], no_defaults=True)
            there.contexts[0].set_default_timeout(patient(20) * 1000)
            yield there.contexts[0]
            there.close()
        finally:
            process.kill()


@pytest.fixture
def visit(farm: FarmProcess, browser: Browser) -> Iterator[Visit]:
    """Open the page as an owner; an error in a page's console, a CSP report too, fails the test."""
    visit = Visit(farm, browser)
    yield visit
    visit.close()
    assert not visit.faults, visit.faults
