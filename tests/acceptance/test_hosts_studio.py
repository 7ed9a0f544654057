"""The lines of docs/how-to/shared-store.md, on six hosts: a store, a head, and four workstations.

No workstation sees a folder of another one, nor of the head or the store.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import SHARED, Host, Net, hosts, line_of, skip_without_hosts
from tests.imports import ROOT
from tests.patience import patient, wait_for
from tests.s3_servers import BUCKET, weed

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
PAGE = (ROOT / "docs" / "how-to" / "shared-store.md").read_text(encoding="utf-8")
STATIONS = ("ws1", "ws2", "ws3", "ws4")
VIDEOS = 12
#: counts the videos that each worker had an order of, in the ledgers of the bucket
COUNT = """
from collections import Counter
from farm.contract import JobId
from farm.jobs import Jobs
from farm.settings import FarmSettings
from farm.store import open_store
import json, sys
ledger = Jobs(open_store(FarmSettings.from_env(storage=sys.argv[1]))).ledger
names = [{e.event.worker for e in ledger.following(JobId(v), -1) if e.event.name == "leased"} for v in sys.argv[2:]]
print(json.dumps(Counter(name for each in names for name in each)))
"""
#: for a server that has no program of its own for it
MAKE_BUCKET = """
import boto3, os, sys
s3 = boto3.client("s3", endpoint_url=os.environ["FARM_S3_ENDPOINT"], region_name="us-east-1")
s3.create_bucket(Bucket=sys.argv[1])
"""


@pytest.fixture(params=["seaweedfs", "ceph"])
def net(request: pytest.FixtureRequest, tmp_path: Path, tiny_cache: Path) -> Iterator[Net]:
    """Run the hosts and the store, with an empty bucket; each host has the keys and, for the rest, its own folder."""
    skip_without_hosts()
    if (request.param == "ceph" and not shutil.which("radosgw")) or (request.param == "seaweedfs" and weed() is None):
        pytest.skip(f"{request.param} is not installed: `make weed ceph` installs both")
    with hosts("store", "head", *STATIONS, folder=tmp_path) as net:
        for name in net.hosts:
            shutil.copytree(tiny_cache, tmp_path / name / "cache")
        shutil.copy(ROOT / "examples" / "cat.jpg", tmp_path / "head")
        for word in ("printf", "echo 'export", "chmod"):
            (line,) = lines(net, "store", word)
            run(net["store"], line)
        for name in ("head", *STATIONS):
            shutil.copy(tmp_path / "store" / "studio.env", tmp_path / name)
        for host in net.hosts.values():
            seclude(host)
        start_store(net, request.param)
        yield net


def lines(net: Net, who: str, word: str) -> list[str]:
    """Return the page's lines with that word for a machine, with our addresses and folders in place of the page's."""
    found = [line for line in re.findall(rf"^{who}\$ +(.*)$", PAGE, flags=re.MULTILINE) if word in line]
    assert found, f"{who}: {word}"
    places = {
        "192.168.1.10": net["store"].address,
        "192.168.1.20": net["head"].address,
        "/srv/videos": f"{SHARED}/store/videos",
    }
    for theirs, ours in places.items():
        found = [line.replace(theirs, ours) for line in found]
    return found


def words(host: Host, line: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the command that runs a line of the page in a host's HOME, and its settings."""
    program = weed()
    folders = f"{Path(program).parent}:" if program else ""
    path = f"{folders}{ROOT / '.venv' / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    settings = {"FARM_CACHE": f"{SHARED}/{host.name}/cache", "FARM_MODEL": "tiny", "FARM_CPU_THREADS": "1"}
    return ("bash", "-c", f"cd && {line}"), settings | {"PATH": path}


def run(host: Host, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the page to its end."""
    command, settings = words(host, line)
    return host.run(*command, **settings)


def start(host: Host, line: str) -> subprocess.Popen[str]:
    """Start a line of the page that goes on until it is stopped."""
    command, settings = words(host, line)
    return host.start(*command, log=f"{host.name}.log", **settings)


def seclude(host: Host) -> None:
    """Take the folders of all other hosts away from a host."""
    own = f"{SHARED}/{host.name}"
    host.run("bash", "-c", f"mkdir /tmp/own && mount --bind {own} /tmp/own && mount -t tmpfs tmpfs {SHARED}")
    host.run("bash", "-c", f"mkdir {own} && mount --bind /tmp/own {own}")
    assert host.run("ls", SHARED).stdout.split() == [host.name]


def start_store(net: Net, kind: str) -> None:
    """Start the server with the page's own lines, or Ceph in its place, and make the bucket."""
    store = net["store"]
    store.run("mkdir", f"{SHARED}/store/videos")
    if kind == "seaweedfs":
        start(store, lines(net, "store", "weed server")[0])
        (make_bucket,) = lines(net, "store", "weed shell")
    else:
        keys = '. ./studio.env; export AK="$AWS_ACCESS_KEY_ID" SK="$AWS_SECRET_ACCESS_KEY"'
        start(store, f"{keys} RGW_HOST={store.address}; bash {ROOT}/tests/ceph_rgw.sh $HOME/ceph 8333")
        make_bucket = f""". ./studio.env; python -c '{MAKE_BUCKET}' {BUCKET}"""

    def answers() -> bool | None:
        asked = store.run("bash", "-c", f"curl -s -o /dev/null http://{store.address}:8333/", check=False)
        return asked.returncode == 0 or None

    wait_for(answers, seconds=180, what="the store")
    run(store, make_bucket)


def test_four_workstations_render_from_one_store(net: Net, tmp_path: Path) -> None:
    """The page's lines for the head and each workstation; a batch, of which each workstation makes a part."""
    head = net["head"]
    (up,), (join,) = lines(net, "head", "framefarm up"), lines(net, "each", "framefarm join")
    ready = line_of(start(head, up), seconds=180)
    assert ready.startswith("ready http"), (tmp_path / "head.log").read_text()[-3000:]
    joins = {name: start(net[name], join) for name in STATIONS}
    for name, process in joins.items():
        joined = line_of(process, seconds=180)
        assert joined == f"joined {head.address}:6379 as {name}\n", (tmp_path / f"{name}.log").read_text()[-3000:]
    (workers,) = lines(net, "head", "framefarm workers")
    assert all(f"{name}-0" in run(head, workers).stdout for name in STATIONS)

    rows = [f"cat.jpg,The cat looks up.,1.2,12,192x192,{seed}" for seed in range(VIDEOS)]
    table = "\n".join(["image,prompt,seconds,num_inference_steps,size,seed", *rows])
    (tmp_path / "head" / "shots.csv").write_text(table)
    (batch,) = lines(net, "head", "framefarm batch")
    process = start(head, batch)
    assert process.wait(patient(300)) == 0, (tmp_path / "head.log").read_text()[-3000:]
    report = json.loads((tmp_path / "head" / "videos" / "report.json").read_text())
    assert [row["status"] for row in report] == ["completed"] * VIDEOS
    assert all((tmp_path / "head" / "videos" / row["file"]).read_bytes()[4:8] == b"ftyp" for row in report)

    ids = " ".join(row["id"] for row in report)
    counted = run(head, f". ./studio.env; python - s3://{BUCKET}/studio {ids} <<'END'\n{COUNT}\nEND")
    shares = json.loads(counted.stdout)
    assert {name.split(".")[0] for name in shares} == {f"{name}-0" for name in STATIONS}, shares
    for name in STATIONS:
        assert not (tmp_path / name / "videos").exists()
        assert list((tmp_path / name).glob("**/*.mp4")) == []
