"""LoRAs: every format gives the weights that its trainer meant, and the base comes back bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from framepack_engine import Conditioning, Lora, Models, Renderer, RenderSpec, SectionState, StepState
from framepack_engine.errors import LoraUnusable
from framepack_engine.sampling.lora.files import find_lora, list_loras, lora_digest
from framepack_engine.sampling.lora.formats import LowRank, read_lora

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = RenderSpec(
    kind="i2v", sections=2, height=32, width=48, seed=5, prompt="", latent_window_size=2, num_inference_steps=3
)
DOUBLE, SINGLE = "transformer_blocks.1.", "single_transformer_blocks.0."
QKV = [f"{DOUBLE}attn.to_{part}" for part in "qkv"]
FUSED = [*(f"{SINGLE}attn.to_{part}" for part in "qkv"), f"{SINGLE}proj_mlp"]
OTHERS = {  # our name -> HunyuanVideo's
    f"{DOUBLE}attn.to_out.0": "double_blocks.1.img_attn_proj",
    f"{DOUBLE}ff.net.0.proj": "double_blocks.1.img_mlp.fc1",
    f"{DOUBLE}ff_context.net.2": "double_blocks.1.txt_mlp.fc2",
    f"{DOUBLE}norm1_context.linear": "double_blocks.1.txt_mod.linear",
    f"{SINGLE}proj_out": "single_blocks.0.linear2",
    f"{SINGLE}norm.linear": "single_blocks.0.modulation.linear",
    "context_embedder.token_refiner.refiner_blocks.0.ff.net.2": "txt_in.individual_token_refiner.blocks.0.mlp.fc2",
}


@pytest.fixture(scope="module")
def linears(tiny_models: Models) -> dict[str, nn.Linear]:
    """The transformer's Linears."""
    return {name: part for name, part in tiny_models.transformer.named_modules() if isinstance(part, nn.Linear)}


@pytest.fixture(scope="module")
def conditioning() -> Conditioning:
    """Made-up embeddings of the tiny model's sizes."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Conditioning(
        prompt_embeds=draw(1, 6, 32),
        pooled_prompt_embeds=draw(1, 32),
        image_embeds=draw(1, 5, 32),
        start_latent=draw(1, 16, 1, 4, 6),
    )


@pytest.fixture
def renderer(tiny_models: Models, tmp_path: Path) -> Iterator[Renderer]:
    """A renderer whose LoRAs lie in `tmp_path`; the shared transformer is left without any."""
    renderer = Renderer(tiny_models, lora_dir=tmp_path)
    yield renderer
    renderer.unload_loras()


def pair(out_features: int, in_features: int, *, rank: int = 3, seed: int = 0) -> LowRank:
    """A drawn pair of matrices."""
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, in_features, generator=generator)
    return LowRank(down, 0.3 * torch.randn(out_features, rank, generator=generator))


def own_pairs(linears: dict[str, nn.Linear]) -> dict[str, LowRank]:
    """A pair for each module that the formats below share; fused ones have one `down`, as HunyuanVideo's have."""
    pairs: dict[str, LowRank] = {}
    for seed, group in enumerate((QKV, FUSED, *([name] for name in OTHERS))):
        rows = [linears[name].out_features for name in group]
        whole = pair(sum(rows), linears[group[0]].in_features, seed=seed)
        pairs |= {name: LowRank(whole.down, up) for name, up in zip(group, whole.up.split(rows), strict=True)}
    return pairs


def fused(pairs: dict[str, LowRank]) -> dict[str, LowRank]:
    """The same under HunyuanVideo's names: q, k and v (and the MLP's entry) are one matrix."""

    def joined(group: list[str]) -> LowRank:
        return LowRank(pairs[group[0]].down, torch.cat([pairs[name].up for name in group]))

    return {
        "double_blocks.1.img_attn_qkv": joined(QKV),
        "single_blocks.0.linear1": joined(FUSED),
        **{old: pairs[name] for name, old in OTHERS.items()},
    }


def save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a file; tensors may share memory."""
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, path)


def peft(pairs: dict[str, LowRank], prefix: str) -> dict[str, Tensor]:
    """Keys as diffusers and PEFT write them."""
    return {f"{prefix}{name}.lora_A.weight": low.down for name, low in pairs.items()} | {
        f"{prefix}{name}.lora_B.weight": low.up for name, low in pairs.items()
    }


def kohya(pairs: dict[str, LowRank], *, alpha: float) -> dict[str, Tensor]:
    """Keys as kohya's and musubi's trainers write them; `alpha` is undone in `up`."""
    tensors: dict[str, Tensor] = {}
    for name, low in pairs.items():
        key = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {
            f"{key}.lora_down.weight": low.down,
            f"{key}.lora_up.weight": low.up * len(low.down) / alpha,
            f"{key}.alpha": torch.tensor(alpha),
        }
    return tensors


def comfy(pairs: dict[str, LowRank]) -> dict[str, Tensor]:
    """HunyuanVideo's names in ComfyUI's spelling."""
    spelt = {".img_attn_qkv": ".img_attn.qkv", "_mlp.fc1": "_mlp.0", "_mlp.fc2": "_mlp.2", "_mod.linear": "_mod.lin"}
    renamed = {}
    for key, low in pairs.items():
        name = key.replace("modulation.linear", "modulation.lin").replace(".mlp.fc2", ".mlp.2")
        for old, new in spelt.items():
            name = name.replace(old, new)
        renamed[name] = low
    return peft(renamed, "diffusion_model.")


FORMATS: dict[str, Callable[[dict[str, LowRank]], dict[str, Tensor]]] = {
    "diffusers": lambda pairs: peft(pairs, "transformer."),
    "peft": lambda pairs: peft(pairs, "base_model.model."),
    "finetrainers without a prefix": lambda pairs: peft(pairs, ""),
    "kohya of FramePack": lambda pairs: kohya(pairs, alpha=1.5),
    "kohya of HunyuanVideo": lambda pairs: kohya(fused(pairs), alpha=6.0),
    "diffusion-pipe": lambda pairs: peft(fused(pairs), "transformer."),
    "comfy": lambda pairs: comfy(fused(pairs)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_means_the_same(name: str, linears: dict[str, nn.Linear], tmp_path: Path) -> None:
    """One set of matrices, written as each trainer writes it, is read back as that set, module by module."""
    pairs = own_pairs(linears)
    save(FORMATS[name](pairs), tmp_path / "a.safetensors")
    read = read_lora(tmp_path / "a.safetensors", linears)
    assert read.keys() == pairs.keys()
    for module, low in read.items():
        torch.testing.assert_close(low.up @ low.down, pairs[module].up @ pairs[module].down)


TIME, TEXT = "context_embedder.time_text_embed.", "time_text_embed."
OUTSIDE = {  # our Linear outside the blocks -> HunyuanVideo's
    "proj_out": "final_layer.linear",
    "context_embedder.proj_in": "txt_in.input_embedder",
    f"{TIME}timestep_embedder.linear_1": "txt_in.t_embedder.mlp.0",
    f"{TIME}timestep_embedder.linear_2": "txt_in.t_embedder.mlp.2",
    f"{TIME}text_embedder.linear_1": "txt_in.c_embedder.linear_1",
    f"{TIME}text_embedder.linear_2": "txt_in.c_embedder.linear_2",
    "context_embedder.token_refiner.refiner_blocks.0.norm_out.linear": (
        "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1"
    ),
    f"{TEXT}timestep_embedder.linear_1": "time_in.mlp.0",
    f"{TEXT}timestep_embedder.linear_2": "time_in.mlp.2",
    f"{TEXT}text_embedder.linear_1": "vector_in.in_layer",
    f"{TEXT}text_embedder.linear_2": "vector_in.out_layer",
    f"{TEXT}guidance_embedder.linear_1": "guidance_in.mlp.0",
    f"{TEXT}guidance_embedder.linear_2": "guidance_in.mlp.2",
}


@pytest.mark.parametrize("write_keys", [peft, lambda pairs, _: kohya(pairs, alpha=3.0)], ids=["peft", "kohya"])
def test_layers_outside_the_blocks_are_known(
    write_keys: Callable[[dict[str, LowRank], str], dict[str, Tensor]], linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """Each acts; the last norm's halves, shift and scale, change places as in diffusers' conversion."""
    pairs = {
        name: pair(linears[name].out_features, linears[name].in_features, seed=n) for n, name in enumerate(OUTSIDE)
    }
    norm = pair(linears["norm_out.linear"].out_features, linears["norm_out.linear"].in_features, seed=99)
    theirs = {OUTSIDE[name]: low for name, low in pairs.items()} | {"final_layer.adaLN_modulation.1": norm}
    save(write_keys(theirs, "diffusion_model."), tmp_path / "a.safetensors")
    read = read_lora(tmp_path / "a.safetensors", linears)
    shift, scale = norm.up.chunk(2)
    pairs["norm_out.linear"] = LowRank(norm.down, torch.cat([scale, shift]))
    assert read.keys() == pairs.keys()
    for module, low in read.items():
        torch.testing.assert_close(low.up @ low.down, pairs[module].up @ pairs[module].down)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"transformer.lora_alpha": 6, "transformer.r": 3}, 2.0),
        ({"lora_alpha": 6, "use_rslora": True}, 6 / 3**0.5),
        ({"lora_alpha": 6, "alpha_pattern": {f"^{QKV[0]}": 12}}, 4.0),
    ],
)
@pytest.mark.parametrize("where", ["metadata", "adapter_config.json"])
def test_alpha_comes_from_the_adapters_settings(
    settings: dict[str, object], scale: float, where: str, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """Alpha is kept in the metadata of a file by diffusers, beside it by PEFT; both scale the weights."""
    low, path = pair(32, 32), tmp_path / "adapter_model.safetensors"
    inside = {"lora_adapter_metadata": json.dumps(settings)} if where == "metadata" else None
    save_file(peft({QKV[0]: low}, "transformer."), path, metadata=inside)
    before = lora_digest(path)
    if inside is None:
        plain = {key.removeprefix("transformer."): value for key, value in settings.items()}
        (tmp_path / "adapter_config.json").write_text(json.dumps(plain))
        assert lora_digest(path) != before
    torch.testing.assert_close(read_lora(path, linears)[QKV[0]].up, low.up * scale)


def write(folder: Path, name: str, linears: dict[str, nn.Linear], *, seed: int = 0) -> Lora:
    """A LoRA file that acts on a few modules."""
    modules = [*QKV, f"{SINGLE}proj_out", "proj_out"]
    pairs = {m: pair(linears[m].out_features, linears[m].in_features, seed=seed + i) for i, m in enumerate(modules)}
    save_file(peft(pairs, "transformer."), folder / f"{name}.safetensors")
    return Lora(name)


def rendered(renderer: Renderer, spec: RenderSpec, conditioning: Conditioning) -> bytes:
    """The first section's artifact."""
    return renderer.section(spec, 0, conditioning, None).to_bytes()


def test_the_base_comes_back_bit_for_bit(
    renderer: Renderer, conditioning: Conditioning, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """With a LoRA the section is another; without it, in the same process and the same model, it is the first again."""
    lora = write(tmp_path, "style", linears)
    base = rendered(renderer, SPEC, conditioning)
    styled = rendered(renderer, replace(SPEC, loras=(lora,)), conditioning)
    assert rendered(renderer, SPEC, conditioning) == base != styled
    assert rendered(renderer, replace(SPEC, loras=(lora,)), conditioning) == styled
    assert rendered(renderer, replace(SPEC, loras=(replace(lora, weight=0.0),)), conditioning) == base


def test_two_renderers_of_one_model_have_their_own_loras(
    tiny_models: Models, conditioning: Conditioning, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """Each begins with the base, in any order, and a LoRA that both use acts once: nothing stays on the model."""
    styled_spec = replace(SPEC, loras=(write(tmp_path, "style", linears),))
    one, other = (Renderer(tiny_models, lora_dir=tmp_path) for _ in range(2))
    base, styled = rendered(one, SPEC, conditioning), rendered(one, styled_spec, conditioning)
    assert rendered(other, SPEC, conditioning) == base != styled
    assert rendered(other, styled_spec, conditioning) == rendered(one, styled_spec, conditioning) == styled
    assert rendered(one, SPEC, conditioning) == base


def test_unfused_equals_merged_weights(
    renderer: Renderer, conditioning: Conditioning, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """Two LoRAs with weights give what weights with both products added to them give, to rounding."""
    loras = (
        replace(write(tmp_path, "a", linears), weight=0.5),
        replace(write(tmp_path, "b", linears, seed=9), weight=-1),
    )
    beside = renderer.section(replace(SPEC, loras=loras), 0, conditioning, None).latents
    kept = {name: layer.weight.clone() for name, layer in linears.items()}
    renderer.unload_loras()
    try:
        for lora in loras:
            for name, low in read_lora(tmp_path / f"{lora.name}.safetensors", linears).items():
                linears[name].weight += lora.weight * low.up @ low.down
        merged = renderer.section(SPEC, 0, conditioning, None).latents
    finally:
        for name, weight in kept.items():
            linears[name].weight.copy_(weight)
    base = renderer.section(SPEC, 0, conditioning, None).latents
    torch.testing.assert_close(beside, merged, atol=1e-4, rtol=1e-4)
    assert float((beside - base).abs().max()) > 0.05


def test_a_stopped_section_with_loras_resumes_to_the_same_bits(
    renderer: Renderer, conditioning: Conditioning, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """Another video without LoRAs may come between; the saved step then goes on to the same section."""
    spec = replace(SPEC, loras=(write(tmp_path, "style", linears),))
    steps: list[StepState] = []
    whole = renderer.section(spec, 0, conditioning, None, on_step=steps.append)
    renderer.section(SPEC, 0, conditioning, None)
    resumed = renderer.section(spec, 0, conditioning, None, resume=StepState.from_bytes(steps[0].to_bytes()))
    assert resumed.to_bytes() == whole.to_bytes()
    assert SectionState.from_bytes(whole.to_bytes()).forwards == (1, 1, 1)


def test_unknown_keys_are_named(linears: dict[str, nn.Linear], tmp_path: Path) -> None:
    """Keys of another model, halves without their other, wrong shapes: each is named, nothing is attached."""
    low = pair(32, 32)
    cases = {
        "down_blocks.0.attn.to_q": peft({QKV[0]: low, "down_blocks.0.attn.to_q": low}, "transformer."),
        "lora_te_text_model_q.lora_down": {"lora_te_text_model_q.lora_down.weight": low.down},
        "transformer.norm_out.linear.hada_w1_a": {"transformer.norm_out.linear.hada_w1_a": low.up},
        "acts on layers that are not supported: 2 of its 4 keys cannot be used: diffusion_model.img_in": peft(
            {QKV[0]: low, "img_in.proj": low}, "diffusion_model."
        ),
        "halves do not fit": peft({QKV[0]: pair(48, 32)}, "transformer."),
        "transformer_blocks_1_attn_to_q": {f"transformer.{QKV[0]}.lora_A.weight": low.down},
        "no weights": {},
    }
    for named, tensors in cases.items():
        save(tensors, tmp_path / "wrong.safetensors")
        with pytest.raises(LoraUnusable, match=named):
            read_lora(tmp_path / "wrong.safetensors", linears)
    (tmp_path / "wrong.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(LoraUnusable, match="cannot be read"):
        read_lora(tmp_path / "wrong.safetensors", linears)


def test_a_failed_attachment_leaves_the_base(
    renderer: Renderer, conditioning: Conditioning, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """If one of two LoRAs is unusable, neither acts, and the next video finds the base as it was."""
    good, base = write(tmp_path, "good", linears), rendered(renderer, SPEC, conditioning)
    save_file({"x.lora_A.weight": torch.zeros(1, 1)}, tmp_path / "bad.safetensors")
    with pytest.raises(LoraUnusable, match=r"bad\.safetensors.*x\.lora_A"):
        renderer.section(replace(SPEC, loras=(good, Lora("bad"))), 0, conditioning, None)
    assert rendered(renderer, SPEC, conditioning) == base


def test_a_changed_file_is_noticed(
    renderer: Renderer, conditioning: Conditioning, linears: dict[str, nn.Linear], tmp_path: Path
) -> None:
    """A video pins its LoRA's sha256: another file under the same name ends the section instead of mixing two."""
    lora = write(tmp_path, "style", linears)
    pinned = replace(lora, sha256=lora_digest(tmp_path / "style.safetensors"))
    rendered(renderer, replace(SPEC, loras=(pinned,)), conditioning)
    write(tmp_path, "style", linears, seed=1)
    with pytest.raises(LoraUnusable, match="another file now"):
        rendered(renderer, replace(SPEC, loras=(pinned,)), conditioning)


def test_names_stay_in_their_folder(linears: dict[str, nn.Linear], tmp_path: Path) -> None:
    """Files below the folder are found by name; nothing outside it can be."""
    inside = tmp_path / "loras"
    (inside / "people" / "ann").mkdir(parents=True)
    write(tmp_path, "secret", linears)
    write(inside, "v1.5", linears)
    write(inside / "people" / "ann", "adapter_model", linears)
    assert find_lora("v1.5", inside) == find_lora("v1.5.safetensors", inside) == inside / "v1.5.safetensors"
    assert find_lora("people/ann", inside) == inside / "people" / "ann" / "adapter_model.safetensors"
    assert list_loras(inside) == ["people/ann/adapter_model", "v1.5"]
    for name in ("../secret", "people/../../secret", str(tmp_path / "secret"), "people//ann", "", "..", "a\\b", "a\0b"):
        with pytest.raises(LoraUnusable, match="below the farm's LoRA folder"):
            find_lora(name, inside)
    with pytest.raises(LoraUnusable, match=r"no LoRA 'missing' in the LoRA folder"):
        find_lora("missing", inside)
    with pytest.raises(LoraUnusable, match=r"framefarm models pull someone/style"):
        find_lora("someone/style", inside)
    write(inside / "people" / "ann", "other", linears)
    write(inside / "people", "b", linears)
    write(inside / "people", "c", linears)
    with pytest.raises(LoraUnusable, match=r"name one file"):
        find_lora("people", inside)
