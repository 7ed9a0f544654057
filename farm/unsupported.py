"""What the API names and this version cannot do yet. Each is refused by name, never silently ignored."""

from __future__ import annotations

from farm.errors import InvalidRequest
from farm.request import VideoRequest

_CAN: dict[str, tuple[object, ...]] = {  #: field -> the only values that this version renders
    "allow_mixed": (False,),
    "preserve_gb": (None,),
}


def check_supported(request: VideoRequest) -> None:
    """Raises: InvalidRequest that names each field whose value this version cannot render."""
    faults = {
        name: f"{name} is not supported yet; this version takes only {_list(values)}"
        for name, values in _CAN.items()
        if not can_render(name, getattr(request, name))
    }
    if faults:
        raise InvalidRequest("; ".join(faults.values()), fields=faults)


def can_render(field: str, value: object) -> bool:
    """Whether this version renders a request in which `field` is `value`."""
    return field not in _CAN or value in _CAN[field]


def _list(values: tuple[object, ...]) -> str:
    return " or ".join("no value" if value in {None, ()} else repr(value).lower() for value in values)
