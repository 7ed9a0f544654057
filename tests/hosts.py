"""Several hosts on this machine: namespaces with network, names, processes and folders of their own, on a bridge.

Nothing outlives the test: a host lives as long as its first process, which the kernel kills with the test's. It has no
name in the file system and no mount outside its own namespace. Sends traffic to addresses of these hosts only.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import httpcore
import httpx
import pytest
from typing_extensions import override

from tests.patience import patient, wait_for
from tests.slow_link import SlowLink, tap

SHARED = "/mnt"  #: where each host sees the test's folder; everything else that it writes goes with it
_NETS = ("10.77.0", "10.78.0")  #: of the bridge, and of the second one that some hosts also have a card on
HUB = "hub"  #: the name of the network in the middle, for `cut`
HUB_CALLER = f"{_NETS[0]}.253"
_PROGRAMS = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "setpriv": "util-linux"}
#: the first process of a host: private folders, then it reaps orphans until the power goes
_INIT = r"""
set -e
hostname "$1"
mount --bind "$2" /mnt
for folder in /tmp /dev/shm /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $folder; done
mount --bind "/mnt/.hosts" /etc/hosts
ip link set lo up
echo up
set +e
while :; do sleep 1000 & wait $!; done
"""


def skip_without_hosts() -> None:
    """Skip the test if this machine cannot have hosts; fail it if TEST_HOSTS says that it can."""
    if why := _why_not():
        assert "TEST_HOSTS" not in os.environ, f"TEST_HOSTS is set, but {why}"
        pytest.skip(why)


@functools.cache
def _why_not() -> str | None:
    if os.getuid() != 0:
        return "hosts need root"
    if any(Path(path).is_relative_to("/tmp") for path in (__file__, sys.prefix)):
        return "hosts need a checkout outside /tmp: each host has a /tmp of its own"
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return f"hosts need {program} (Debian: {package}); `make hosts` installs it"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


class Host:
    """A machine that can be cut off, walled in and switched off. Hosts of one net reach each other by name."""

    def __init__(self, net: Net, name: str, number: int, *, cards: int) -> None:
        self.name, self._net, self._number, self._cards = name, net, number, cards
        self.addresses = [f"{prefix}.{number}" for prefix in _NETS[:cards]]
        self._first: subprocess.Popen[str] | None = None
        self._pid = ""  # of its first process, as this machine numbers it; empty without power
        self._started, self._clients = list[subprocess.Popen[str]](), list[httpx.Client]()
        self._links = list[SlowLink]()
        self.power_on()

    @property
    def address(self) -> str:
        """Its address on the first bridge."""
        return self.addresses[0]

    def power_on(self) -> None:
        """Start it, with empty folders but for HOME, which lasts."""
        home = self._net.folder / self.name
        home.mkdir(exist_ok=True)
        self._first = self._net.first_process("--uts", "--mount", words=(self.name, str(self._net.folder)))
        self._pid = _only_child(self._first.pid)
        for card, address in enumerate(self.addresses):
            end = f"v{self._number}-{card}"
            own = ("name", f"eth{card}", "address", f"02:00:00:00:{card:02x}:{self._number:02x}", "netns", self._pid)
            self._net.hub("ip", "link", "add", end, "type", "veth", "peer", *own)
            self._net.hub("ip", "link", "set", end, "master", f"br{card}", "up")
            self.run("ip", "address", "add", f"{address}/24", "dev", f"eth{card}")
            self.run("ip", "link", "set", f"eth{card}", "up")

    def power_off(self) -> None:
        """Kill everything on it at once; its cards go with it."""
        pid, self._pid = self._pid, ""
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
            self._first.communicate(timeout=patient(20))
            self._first = None
            for card in range(self._cards):  # the kernel takes its time
                self._net.hub("ip", "link", "delete", f"v{self._number}-{card}", check=False)
        while self._started:
            process = self._started.pop()
            process.wait(patient(20))
            for pipe in filter(None, (process.stdout, process.stderr)):
                pipe.close()
        while self._clients:
            self._clients.pop().close()
        self._take_links_away()

    def start(self, *argv: str, log: str | None = None, **settings: str) -> subprocess.Popen[str]:
        """Start a command there, with nothing in its environment but the paths and `settings`.

        stdout is a pipe; so is stderr, or it is added to the file `log` of SHARED.
        """
        env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": f"{SHARED}/{self.name}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            **{name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "LC_", "LANG"))},
        }
        words: contextlib.AbstractContextManager[IO[bytes] | int] = contextlib.nullcontext(subprocess.PIPE)
        if log:
            words = (self._net.folder / log).open("ab")
        with words as err:
            process = subprocess.Popen(
                self.inside(*argv),
                env=env | settings,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def inside(self, *argv: str) -> list[str]:
        """Return the command that runs `argv` there; one that fails without power."""
        if not self._pid:
            return ["false"]
        return ["nsenter", f"--target={self._pid}", "--net", "--uts", "--mount", "--pid", "--", *argv]

    def run(self, *argv: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end. Raises: AssertionError with its words if it fails and `check` is set."""
        with self.start(*argv, log=None, **settings) as process:
            out, err = process.communicate(timeout=patient(100))
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        assert not check or done.returncode == 0, f"{self.name}: {' '.join(argv)}: {out}{err}"
        return done

    def signal(self, process: subprocess.Popen[str], number: int) -> None:
        """Send a signal to a command that `start` gave."""
        os.kill(int(_only_child(process.pid)), number)

    def client(self, url: str, **headers: str) -> httpx.Client:
        """Return a client in this process whose connections begin on that host."""
        transport = httpx.HTTPTransport()
        transport._pool = httpcore.ConnectionPool(network_backend=_Inside(self._pid))
        client = httpx.Client(base_url=url, headers=headers, transport=transport, timeout=patient(20), trust_env=False)
        self._clients.append(client)
        return client

    def pids(self, text: str) -> list[int]:
        """Return the processes there whose command line contains `text`, as this machine numbers them."""
        found = []
        ours = Path(f"/proc/{self._pid}/ns/pid").readlink()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if text in line and (entry / "ns" / "pid").readlink() == ours:
                    found.append(int(entry.name))
        return found

    def kill(self, text: str) -> None:
        """Kill the processes whose command line contains `text`; for "" all but the first one, which is the host."""
        pids = [pid for pid in self.pids(text) if pid != int(self._pid)]
        assert pids, f"{self.name} has no process {text!r}"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cut(self, *others: str, way: Literal["both", "in", "out"] = "both") -> None:
        """Drop what passes between it and the others; without others, between it and everyone."""
        rules = []
        for other in others or (None,):
            place = self._net.address(other) if other else None
            for hook, side in (("input", "saddr"), ("output", "daddr")):
                if way == "both" or hook.startswith(way):
                    which = f"ip {side} {place}" if place else f"{'iif' if hook == 'input' else 'oif'}name != lo"
                    rules.append(f"add rule inet cut {hook} {which} drop")
        self._nft(
            "add table inet cut",
            "add chain inet cut input { type filter hook input priority -10; }",
            "add chain inet cut output { type filter hook output priority -10; }",
            *rules,
        )

    def heal(self) -> None:
        """Undo every cut."""
        self._nft("add table inet cut", "delete table inet cut")

    def firewall(self, *ports: str) -> None:
        """Let nothing in but answers, pings and connections to these ports ("22", "20000-20031")."""
        opened = [f"add rule inet wall input tcp dport {{ {', '.join(ports)} }} accept"] if ports else []
        self._nft(
            "add table inet wall",
            "delete table inet wall",
            "add table inet wall",
            "add chain inet wall input { type filter hook input priority 0; policy drop; }",
            "add rule inet wall input iif lo accept",
            "add rule inet wall input ct state established,related accept",
            "add rule inet wall input meta l4proto icmp accept",
            *opened,
        )

    def slow(self, *, delay_ms: float, loss: float = 0.0, mbit: float = 1000.0) -> None:
        """Put its first card behind a slow link, until `fast`. delay_ms: each way; loss: a share of 1."""
        assert not self._links, f"{self.name} is slow already"
        ends = f"s{self._number}", "slow0"
        taps = [
            tap(end, partial(_enter_network, pid))
            for end, pid in zip(ends, (self._net.hub_pid, self._pid), strict=True)
        ]
        self._net.hub("ip", "link", "set", ends[0], "master", "br0", "up")
        self.run("ip", "address", "flush", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "down")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "slow0")
        self.run("ip", "link", "set", "slow0", "address", f"02:00:00:00:00:{self._number:02x}", "up")
        self._links.append(SlowLink(*taps, delay_ms=delay_ms, loss=loss, mbit=mbit))

    def fast(self) -> None:
        """Take the slow link away."""
        self._take_links_away()
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def _take_links_away(self) -> None:
        while self._links:
            self._links.pop().close()

    def new_address(self) -> str:
        """Give its first card another address, as a provider does overnight; return it."""
        old, new = self.address, f"{_NETS[0]}.{self._number + 100}"
        self.run("ip", "address", "del", f"{old}/24", "dev", "eth0")
        self.run("ip", "address", "add", f"{new}/24", "dev", "eth0")
        self.addresses[0] = new
        self._net.write_names()
        return new

    def _nft(self, *lines: str) -> None:
        subprocess.run(self.inside("nft", "-f", "-"), input="\n".join(lines), text=True, check=True)


class Net:
    """The hosts, by name, and the machine with their bridges in the middle."""

    hub_address = f"{_NETS[0]}.254"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self._keeper = ThreadPoolExecutor(1, "hosts")  # the kernel kills a host with the thread that started it
        self._hub = self.first_process()
        self.hub_pid = _only_child(self._hub.pid)
        for card in range(len(_NETS)):
            self.hub("ip", "link", "add", f"br{card}", "type", "bridge")
            self.hub("ip", "link", "set", f"br{card}", "up")

    def __getitem__(self, name: str) -> Host:
        """Return the host of that name."""
        return self.hosts[name]

    def address(self, name: str) -> str:
        """Return the first address of a host, or of the hub where it has one."""
        return self.hub_address if name == HUB else self[name].address

    def first_process(self, *namespaces: str, words: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start the first process of a machine, which dies with this one."""
        return self._keeper.submit(_first_process, *namespaces, words=words).result()

    def enter_hub(self) -> None:
        """Move this thread, and those that it starts later, into the network between the hosts.

        From now on this process reaches every host, as HUB_CALLER, and what it serves at `hub_address` can be cut off.
        """
        for address in (HUB_CALLER, self.hub_address):  # connections begin at the first one
            self.hub("ip", "address", "add", f"{address}/24", "dev", "br0")
        _enter_network(self.hub_pid)

    def hub(self, *argv: str, check: bool = True) -> None:
        """Run a command in the network between the hosts."""
        quiet = None if check else subprocess.DEVNULL
        subprocess.run(["nsenter", f"--target={self.hub_pid}", "--net", "--", *argv], check=check, stderr=quiet)

    def write_names(self) -> None:
        """Tell every host the addresses of all."""
        lines = ["127.0.0.1 localhost", *(f"{host.address} {host.name}" for host in self.hosts.values())]
        (self.folder / ".hosts").write_text("\n".join(lines) + "\n")

    def close(self) -> None:
        """Switch everything off."""
        for host in self.hosts.values():
            host.power_off()
        os.kill(int(self.hub_pid), signal.SIGKILL)
        self._hub.communicate(timeout=patient(20))
        self._keeper.shutdown()


@contextlib.contextmanager
def hosts(*names: str, folder: Path, two_cards: Collection[str] = ()) -> Iterator[Net]:
    """Give a net of running hosts. `folder` is each one's SHARED; those of `two_cards` are on a second bridge, too."""
    net = Net(folder)
    try:
        net.write_names()
        for number, name in enumerate(names, start=1):
            net.hosts[name] = Host(net, name, number, cards=2 if name in two_cards else 1)
        net.write_names()
        yield net
    finally:
        net.close()


class _Inside(httpcore.NetworkBackend):
    """Opens connections in the network of a process: a socket stays in the one that it was made in."""

    def __init__(self, pid: str) -> None:
        self._sockets = httpcore.SyncBackend()
        self._thread = ThreadPoolExecutor(1, initializer=_enter_network, initargs=(pid,))

    @override
    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return self._thread.submit(self._sockets.connect_tcp, *args, **kwargs).result()


def _enter_network(pid: str) -> None:
    """Move this thread, and no other, into that network."""
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        assert ctypes.CDLL(None).setns(network.fileno(), 0) == 0


def line_of(process: subprocess.Popen[str], *, seconds: float) -> str:
    """Return the next line on its stdout, or "" if it ends. seconds: that it takes at most on an idle machine."""
    assert process.stdout
    if not select.select([process.stdout], [], [], patient(seconds))[0]:
        raise AssertionError(f"waited {patient(seconds):.0f} s in vain for a line of {process.args!r}")
    return process.stdout.readline()


def _first_process(*namespaces: str, words: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a process in a network of its own, which dies with this one; return once it is up."""
    script = _INIT if words else "ip link set lo up; echo up; exec sleep infinity"
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork", "--mount-proc"),
            *("--kill-child=KILL", *namespaces, "bash", "-c", script, "host", *words),
        ],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n", f"no host: {process.communicate()[1]}"
    return process


def _only_child(pid: int) -> str:
    """Return the process that `unshare` or `nsenter` forked into the namespace, as this machine numbers it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return wait_for(lambda: next(iter(children.read_text().split()), None), seconds=10, what="a process in the host")
