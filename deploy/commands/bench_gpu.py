"""bench gpu: the 13B model with random weights on this machine's GPU, row by row."""

from __future__ import annotations

from typing import Any

import typer

from deploy.commands.connect import Json
from deploy.terminal.flags import with_flags
from deploy.terminal.option_flags import option_flags
from deploy.terminal.screen import put_json, put_table, say
from lab.bench.gpu.options import GpuOptions
from lab.options import taken

_COLUMNS = (
    *("row", "s_per_forward", "s_per_step", "s_per_frame", "tflops", "mfu", "of_matmul"),
    *("peak_gib", "reserved_gib", "predicted_gib", "nvml_peak_gib", "host_peak_gib"),
    *("copied_gb", "copy_gb_s", "hidden", "forwards", "off", "plan", "skipped", "error"),
)


@with_flags(option_flags(GpuOptions))
def gpu(*, as_json: Json = False, **given: Any) -> None:
    """Measure the rows, and print a table of the sections and one for each other row."""
    from lab.bench.gpu.supervisor import NoGpu, run_bench

    options = taken(GpuOptions, given)
    try:
        found = run_bench(options, say=say)
    except NoGpu as err:
        say(f"framefarm: {err}", style="red")
        raise typer.Exit(1) from err
    if as_json:
        put_json(found | {name: getattr(options, name) for name in ("model", "window", "steps")})
        return
    put_table(("what", "value"), [{"what": name, "value": value} for name, value in found.pop("machine").items()])
    for rows in ([row for row in found.pop("rows") if row["row"] not in found], *found.values()):
        if rows:
            print()
            put_table(_COLUMNS if "part" not in rows[0] else _columns(rows), rows)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the columns of a row's parts, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))
