"""When a browser first paints the page, and when its form can be used: `python -m lab.bench.page ADDRESS`.

ADDRESS is what `framefarm ui` prints. Debian's Chromium loads it each time as for a first visitor.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from playwright.sync_api import Browser, sync_playwright

SLOWER = (1, 4)  #: how many times slower than this machine the browser's processor is
TEXT = "{slower} x: paint {paint_ms} ms (worst {worst_paint_ms}), form {form_ms} ms (worst {worst_form_ms})"
#: Resolves with ms since the navigation: the first paint, and when somebody can press the form's button.
WHEN = """new Promise((done) => {
    const look = () => {
        const [paint] = performance.getEntriesByName('first-contentful-paint')
        const button = document.querySelector('button.generate')
        if (paint && button && !button.disabled) done({paint_ms: paint.startTime, form_ms: performance.now()})
        else setTimeout(look, 5)
    }
    look()
})"""


def load(browser: Browser, address: str, slower: int) -> dict[str, float]:
    """Open the page in a browser that has kept nothing, and return when it painted and when its form was there."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        page.goto(address, wait_until="commit")
        found: dict[str, float] = page.evaluate(WHEN)
        return found
    finally:
        context.close()


def rows(browser: Browser, address: str, loads: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each speed of the processor: the median and the worst of so many loads."""
    for slower in SLOWER:
        found = [load(browser, address, slower) for _ in range(loads)]
        row: dict[str, Any] = {"slower": slower, "loads": loads}
        for name in ("paint_ms", "form_ms"):
            times = [each[name] for each in found]
            row |= {name: round(statistics.median(times)), f"worst_{name}": round(max(times))}
        yield row


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each speed."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", help="the page's address, as `framefarm ui` prints it")
    parser.add_argument("--loads", type=int, default=7, help="how often to load it at each speed (7)")
    parser.add_argument("--json", action="store_true", help="print rows as JSON, one a line")
    options = parser.parse_args(argv)
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("no chromium here: `make browser` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for row in rows(browser, options.address, options.loads):
            line = json.dumps(row) if options.json else TEXT.format(**row)
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
