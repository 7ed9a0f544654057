"""The Triton kernels: proven in Triton's interpreter, and compiled ahead for Hopper. No GPU has run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT

pytest.importorskip("triton", reason="Triton comes for Linux on x86_64 only")
_PROGRAM = Path(__file__).with_name("interpreted.py")
_POINTERS = dict.fromkeys(("x", "scale", "shift", "branch", "gate", "weight", "out"), "*bf16") | dict.fromkeys(
    ("cos", "sin"), "*fp32"
)
KERNELS: dict[str, dict[str, int]] = {
    "modulate_kernel": {"ROWS": 4, "COLUMNS": 1024},
    "add_gated_kernel": {"ROWS": 4, "COLUMNS": 1024},
    "join_heads_kernel": {"ROWS": 8},
}


@pytest.fixture(scope="module")
def interpreted() -> subprocess.CompletedProcess[str]:
    """The interpreter counts only in a process that has it on before Triton is imported."""
    env = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, str(_PROGRAM)], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("check", ["modulate", "add_gated", "join_heads", "join_heads_of_exact_sums", "transformer"])
def test_the_interpreter_gives_the_bits_of_the_eager_chain(
    check: str, interpreted: subprocess.CompletedProcess[str]
) -> None:
    """See `interpreted.py` for what each check compares."""
    assert check in interpreted.stdout.split(), interpreted.stderr


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles_for_hopper(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cubin for sm_90 whose code rounds each product before it is added: no fused multiply-add."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from framepack_engine.kernels import fused

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, kinds = getattr(fused, name), _POINTERS | {"eps": "fp32"} | dict.fromkeys(KERNELS[name], "constexpr")
    signature = {key: kinds.get(key, "i32") for key in kernel.arg_names}
    source = ASTSource(kernel, signature, constexprs=KERNELS[name])
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=fused.EXACT)
    assert made.asm["cubin"]
    assert ".target sm_90" in made.asm["ptx"]
    assert made.asm["ptx"].count("fma") == 0
