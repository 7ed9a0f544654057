"""`framefarm submit --from FILE` asks for what an earlier file holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import cli
from farm.jobs import Jobs
from tests.unit.farm.intake.test_inspect_file import STUDIO, png, zipped


@pytest.mark.usefixtures("farm_url")
def test_a_picture_of_studio_becomes_a_video(tmp_path: Path, jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    """Its settings and the picture; a flag beside it takes precedence, and what is left out is said."""
    file = tmp_path / "old.png"
    file.write_bytes(png({name: value for name, value in STUDIO.items() if name != "loras"}))
    assert cli.main(["submit", "--from", str(file), "--model", "tiny", "--seed", "5"]) == 0
    out, err = capsys.readouterr()
    job = jobs.get(out.strip(), owner="local").job
    assert (job.request.seed, job.request.num_inference_steps, job.request.prompt) == (5, 30, "It sits.")
    assert set(job.inputs) == {"start"}
    assert "latent_type" in err


@pytest.mark.usefixtures("farm_url")
def test_a_queue_becomes_several_videos(tmp_path: Path, jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    """An id a line."""
    told = {name: {"prompt": name, "seed": n, "model_type": "Original"} for n, name in enumerate(("a1", "b2"))}
    files = {f"queue_images/{name}_input.png": png() for name in told}
    file = tmp_path / "queue.zip"
    file.write_bytes(zipped(files | {"queue.json": json.dumps(told).encode()}))
    assert cli.main(["submit", "--from", str(file), "--model", "tiny"]) == 0
    ids = capsys.readouterr().out.split()
    assert [jobs.get(id_, owner="local").job.request.prompt for id_ in ids] == ["a1", "b2"]
    assert cli.main(["submit", "--from", str(tmp_path / "gone.png")]) == 2
    assert cli.main(["submit", str(file)]) == 2
