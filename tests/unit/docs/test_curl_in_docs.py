"""The curl commands in the documents, typed as they stand there, against a farm: each is answered with 200."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.imports import ROOT
from tests.unit.conftest import Hand
from tests.unit.docs.pages import PAGES
from tests.unit.farm.ingress.test_ingress import ask

DOCS = [path for path in PAGES if "$ curl" in path.read_text()]
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:curl|export) (?:.*\\\n)*.*)", re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_each_curl_is_answered(path: Path, http: TestClient, farm_url: str, hand: Hand, tmp_path: Path) -> None:
    """Ids that the text leaves out are those of a video that has ended, of one that waits to be changed, of a batch."""
    ended = ask(http, seconds="1")["id"]
    hand.finish()
    first = ask(http, seconds="1", n="2")
    (tmp_path / "examples").mkdir()
    for name in ("cat.jpg", "examples/cat.jpg"):
        shutil.copy(ROOT / "examples" / "cat.jpg", tmp_path / name)
    (tmp_path / ".curlrc").write_text('silent\nmax-time = 60\nwrite-out = "%{stderr}%{http_code}\\n"\n')
    file = http.post("/v1/files", files={"file": (tmp_path / "cat.jpg").read_bytes()}).json()["id"]
    asked = 0
    for block in _BLOCK.findall(path.read_text()):
        script = "\n".join(_COMMAND.findall(block))
        if "curl" not in script:
            continue
        asked += script.count("curl ")
        script = re.sub(r"http://127\.0\.0\.1:(8000|7860)", farm_url, script).replace("batch_…", first["batch"]["id"])
        script = script.replace("video_…/move", f"{first['id']}/move")
        script = re.sub(r"(curl -X PATCH .*)video_…", rf"\1{first['id']}", script).replace("video_…", ended)
        script = script.replace("file-…", file)
        script = script.replace("curl -N", "curl -N --max-time 10")  # a stream without an end
        assert "…" not in script
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "CURL_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.split() == ["200"] * script.count("curl "), f"{script}\n{done.stderr}\n{done.stdout}"
    assert asked
