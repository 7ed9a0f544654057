"""A specification that exists can be rendered."""

from __future__ import annotations

import pytest

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.spec import RenderSpec
from tests.imports import modules_after


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 72),
        ("width", 120),
        ("height", 0),
        ("sections", 0),
        ("latent_window_size", 0),
        ("num_inference_steps", 0),
        ("kind", "t2v"),
        ("cache", "magic"),
        ("decode", "half"),
        ("flow_shift", 0.0),
        ("flow_shift", float("nan")),
        ("flow_exponent", -1.0),
    ],
)
def test_impossible_values_are_refused_by_name(field: str, value: object) -> None:
    """A specification that cannot be rendered never exists; the error names the field (odd latent sizes too)."""
    good = {"kind": "i2v", "sections": 1, "height": 64, "width": 64, "seed": 1, "prompt": ""}
    with pytest.raises(InvalidSpec, match=field) as caught:
        RenderSpec(**{**good, field: value})  # type: ignore[arg-type]
    assert caught.value.facts["field"] == field


def test_planning_loads_no_torch() -> None:
    """The plan, the specification and the names of the package cost no second of imports."""
    assert "torch" not in modules_after("from framepack_engine import RenderSpec, final_frames")
