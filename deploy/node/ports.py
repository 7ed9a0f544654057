"""The ports that Ray listens on here: any free ones, or those of FARM_PORTS for machines behind a firewall."""

from __future__ import annotations

import socket
from typing import NamedTuple

from farm.errors import ConfigError
from farm.setting_types import parse_ports
from farm.settings import FarmSettings

#: Ray's own programs, by the names of their flags; each listens on one port
_PROGRAMS = (
    *("node_manager_port", "object_manager_port", "runtime_env_agent_port"),
    *("dashboard_agent_grpc_port", "dashboard_agent_listen_port", "metrics_export_port"),
)
_HEAD = 3  #: processes that only a head has: `framefarm up` itself, the dispatcher, Serve's controller
_SPARE = 2  #: a process that takes another's place starts before the port of the dead one is free


class RayPorts(NamedTuple):
    """A port for each of Ray's programs, by its flag, and the ports of the processes that Ray starts."""

    programs: dict[str, int]
    processes: list[int]

    @property
    def flags(self) -> list[str]:
        """The flags of `ray start`."""
        flags = [f"--{name.replace('_', '-')}={port}" for name, port in self.programs.items()]
        return [*flags, f"--worker-port-list={','.join(map(str, self.processes))}"]


def ray_ports(settings: FarmSettings, *, is_head: bool) -> RayPorts | None:
    """Divide FARM_PORTS; return None if it is empty. The settings name the number of workers and of ingresses.

    Raises: ConfigError if the range is too small.
    """
    ports = parse_ports(settings.ports)
    if not ports:
        return None
    needed = len(_PROGRAMS) + int(settings.workers) + _SPARE + (_HEAD + settings.ingresses if is_head else 0)
    if len(ports) < needed:
        raise ConfigError(
            f"FARM_PORTS={settings.ports} has {len(ports)} ports, but Ray needs {needed} on this machine: "
            f"{ports[0]}-{ports[0] + needed - 1}"
        )
    programs = dict(zip(_PROGRAMS, ports, strict=False))
    return RayPorts(programs, list(ports[len(programs) :]))


def check_free(ports: RayPorts | None) -> None:
    """Raises: ConfigError if another program listens on one of the ports. Ray would name no port."""
    for port in [] if ports is None else [*ports.programs.values(), *ports.processes]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as err:
                raise ConfigError(
                    f"FARM_PORTS: port {port} is not free ({err.strerror}); choose another range"
                ) from err
