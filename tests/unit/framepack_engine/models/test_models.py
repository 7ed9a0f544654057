"""Loading: the same code for made, local and downloaded repositories, whole or sharded; errors name the file."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from framepack_engine.errors import ModelUnavailable
from framepack_engine.models.catalog import (
    FRAMEPACK_F1,
    FRAMEPACK_I2V,
    HUNYUAN,
    MODELS,
    REDUX,
    TINY_VERSION,
    f1_of,
    known_models,
    model_entry,
)
from framepack_engine.models.shelf import Models, ModelShelf, load_models
from framepack_engine.models.tiny import ensure_tiny
from framepack_engine.models.weights import OneDnnConv3d, use_onednn
from tests.imports import modules_after


@pytest.fixture
def local(tiny_cache: Path, tmp_path: Path) -> Path:
    """A folder of our own with the i2v repositories in the official layout; tests may damage it."""
    root = tmp_path / "models"
    for repo in (HUNYUAN, REDUX, FRAMEPACK_I2V):
        shutil.copytree(ensure_tiny(tiny_cache) / repo, root / repo)
    return root


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's state dict."""
    return dict(model.state_dict())


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models hold the same weights, bit for bit."""
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_every_part_is_of_its_official_class(tiny_models: Models) -> None:
    """The tiny model is made of the classes that load the 13B one, in float32 on the CPU, in evaluation mode."""
    parts = {name: type(getattr(tiny_models, name)).__name__ for name in MODELS["tiny"].parts}
    assert parts == {
        "transformer": "HunyuanVideoFramepackTransformer3DModel",
        "vae": "AutoencoderKLHunyuanVideo",
        "text_encoder": "LlamaModel",
        "text_encoder_2": "CLIPTextModel",
        "image_encoder": "SiglipVisionModel",
        "tokenizer": "TokenizersBackend",
        "tokenizer_2": "CLIPTokenizer",
        "feature_extractor": "SiglipImageProcessorPil",
    }
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2", "image_encoder"):
        model = getattr(tiny_models, name)
        assert not model.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in model.parameters())


def test_a_local_folder_loads_as_the_named_model_does(tiny_models: Models, local: Path) -> None:
    """A path instead of a name gives the same weights, and the kind of the transformer that lies there."""
    loaded = load_models(str(local))
    assert loaded.kind == "i2v"
    assert same(loaded.transformer, tiny_models.transformer)
    assert same(loaded.text_encoder, tiny_models.text_encoder)


def test_a_folder_with_both_transformers_asks_which(local: Path, tiny_cache: Path) -> None:
    """Where i2v and F1 lie side by side, the caller says which; where neither does, the error says what was missed."""
    shutil.copytree(ensure_tiny(tiny_cache) / FRAMEPACK_F1, local / FRAMEPACK_F1)
    with pytest.raises(ModelUnavailable, match="which kind"):
        load_models(str(local))
    assert load_models(str(local), kind="f1").kind == "f1"
    with pytest.raises(ModelUnavailable, match=r"no transformer.*FramePackI2V_HY"):
        load_models(str(local / "lllyasviel"))


def test_sharded_weights_load_through_their_index(tiny_models: Models, local: Path) -> None:
    """The official transformer and Llama come in shards with an index; so do these, and the weights are the same."""
    for part, folder in (("transformer", local / FRAMEPACK_I2V), ("text_encoder", local / HUNYUAN / "text_encoder")):
        for file in folder.glob("*.safetensors"):
            file.unlink()
        getattr(tiny_models, part).save_pretrained(folder, max_shard_size="100KB")
        assert len(list(folder.glob("*.safetensors"))) > 1
    loaded = load_models(str(local))
    assert same(loaded.transformer, tiny_models.transformer)
    assert same(loaded.text_encoder, tiny_models.text_encoder)
    shard = sorted((local / FRAMEPACK_I2V).glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelUnavailable, match=shard.name):
        load_models(str(local))


@pytest.mark.parametrize(
    "file",
    [
        f"{FRAMEPACK_I2V}/config.json",
        f"{HUNYUAN}/vae/diffusion_pytorch_model.safetensors",
        f"{HUNYUAN}/text_encoder_2/model.safetensors",
        f"{HUNYUAN}/tokenizer/tokenizer.json",
        f"{REDUX}/feature_extractor/preprocessor_config.json",
    ],
)
def test_a_missing_file_is_named(local: Path, file: str) -> None:
    """The error names the missing file by its path, and where such files come from."""
    (local / file).unlink()
    with pytest.raises(ModelUnavailable, match=rf"{file} is missing.*huggingface\.co"):
        load_models(str(local))


def test_a_damaged_cache_says_what_to_remove(tiny_cache: Path, tmp_path: Path) -> None:
    """If a file of the made model is gone, the error names the one folder whose removal makes all of it again."""
    made = shutil.copytree(ensure_tiny(tiny_cache), tmp_path / f"tiny-v{TINY_VERSION}")
    (made / REDUX / "image_encoder" / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=rf"Remove {made} and it is made again"):
        load_models("tiny", cache_dir=tmp_path)
    shutil.rmtree(made)
    assert load_models("tiny", cache_dir=tmp_path).name == "tiny"


def test_damaged_weights_are_named(local: Path) -> None:
    """A truncated weights file is an error that names the part and its folder."""
    file = local / HUNYUAN / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelUnavailable, match=r"vae in .*HunyuanVideo/vae cannot be loaded"):
        load_models(str(local))


def test_an_unknown_name_lists_the_known_ones() -> None:
    """A model that nobody knows is answered with those there are."""
    with pytest.raises(ModelUnavailable, match=", ".join(MODELS)):
        load_models("framepack-9000")
    with pytest.raises(ModelUnavailable, match="tiny"):
        model_entry("framepack-9000")


def hub_cache(root: Path, source: Path) -> None:
    """Lay the repositories under `source` out as the hub's client keeps them in its cache, at the pinned commits."""
    for part in {part.repo: part for part in MODELS["framepack-i2v"].parts.values()}.values():
        folder = root / f"models--{part.repo.replace('/', '--')}"
        shutil.copytree(source / part.repo, folder / "snapshots" / part.revision)


def test_a_hub_name_loads_from_the_hubs_cache(
    tiny_models: Models, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were downloaded before are used without a network and without a word."""
    from huggingface_hub import constants

    hub_cache(tmp_path, ensure_tiny(tiny_cache))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said: list[str] = []
    loaded = load_models("framepack-i2v", say=said.append)
    assert loaded.name == "framepack-i2v"
    assert same(loaded.vae, tiny_models.vae)
    assert said == []


def test_offline_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE the error names the missing file in the cache, and the command that fetches it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="framefarm models pull framepack-i2v") as failed:
        load_models("framepack-i2v")
    assert failed.value.facts["file"] == str(
        tmp_path
        / "models--hunyuanvideo-community--HunyuanVideo"
        / "snapshots"
        / MODELS["framepack-i2v"].parts["vae"].revision
        / "text_encoder"
        / "config.json"
    )
    assert "HF_HUB_OFFLINE" in str(failed.value)


def test_spaces_survive_a_llama_3_tokenizer_under_its_old_class_name(tiny_models: Models, local: Path) -> None:
    """Official files name LlamaTokenizerFast, which in transformers 5 would drop every space; ours are kept."""
    config = local / HUNYUAN / "tokenizer" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "tokenizer_class": "LlamaTokenizerFast"}))
    text = "a cat  walks\nhome"
    ids = load_models(str(local)).tokenizer(text, add_special_tokens=False).input_ids
    assert ids == tiny_models.tokenizer(text, add_special_tokens=False).input_ids
    assert tiny_models.tokenizer.decode(ids) == text


def test_clip_loads_from_vocabulary_and_merges(tiny_models: Models, local: Path) -> None:
    """CLIP's tokenizer may lie there in its older form, without tokenizer.json."""
    folder = local / HUNYUAN / "tokenizer_2"
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    loaded = load_models(str(local))
    assert loaded.tokenizer_2("A cat").input_ids == tiny_models.tokenizer_2("A cat").input_ids


def test_names_and_sizes_need_no_torch() -> None:
    """The catalogue is a table: looking a model up loads neither torch nor transformers."""
    code = (
        "from framepack_engine.models.catalog import MODELS; assert MODELS['tiny'].resolution == 128; "
        "import framepack_engine.errors, framepack_engine.frames.video"
    )
    assert not {"torch", "transformers", "diffusers"} & modules_after(code)


@torch.no_grad()
def test_onednn_convolutions_agree_with_pytorchs() -> None:
    """The fast path sums in another order and nothing else; strides, paddings and kernels of one keep their meaning."""
    x = torch.randn(1, 4, 7, 18, 18, generator=torch.Generator().manual_seed(0))
    for layer in (nn.Conv3d(4, 6, 3), nn.Conv3d(4, 6, 3, stride=2, padding=1), nn.Conv3d(4, 6, 1, bias=False)):
        expected = layer(x)
        use_onednn(layer)
        assert isinstance(layer, OneDnnConv3d)
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_onednn_leaves_training_and_other_precisions_alone() -> None:
    """With gradients, or in float64, the layer is an ordinary Conv3d."""
    layer = nn.Conv3d(2, 2, 3)
    use_onednn(layer)
    x = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert layer.double()(x.detach().double()).dtype == torch.float64


def test_one_file_is_a_transformer(tiny_models: Models, local: Path, tmp_path: Path) -> None:
    """A transformer alone, one .safetensors file or its folder, takes its other parts from what lies around it."""
    folder = local / FRAMEPACK_I2V
    file = folder / "diffusion_pytorch_model.safetensors"
    for path in (file, folder):
        loaded = load_models(str(path), kind="i2v")
        assert same(loaded.transformer, tiny_models.transformer)
        assert same(loaded.vae, tiny_models.vae)
    with pytest.raises(ModelUnavailable, match="say which kind, i2v or f1"):
        load_models(str(file))
    with pytest.raises(ModelUnavailable, match=r"there is no file .*none\.safetensors"):
        load_models(str(tmp_path / "none.safetensors"), kind="i2v")


def test_one_files_other_parts_come_from_the_hubs_cache(
    tiny_models: Models, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that lies alone somewhere uses the parts that were pulled with the named model."""
    from huggingface_hub import constants

    hub_cache(tmp_path / "hub", local)
    shutil.rmtree(next((tmp_path / "hub").glob("models--lllyasviel--FramePackI2V_HY")))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    alone = shutil.copytree(local / FRAMEPACK_I2V, tmp_path / "mine")
    loaded = load_models(str(alone / "diffusion_pytorch_model.safetensors"), kind="f1")
    assert (loaded.kind, same(loaded.transformer, tiny_models.transformer)) == ("f1", True)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "transformer."])
def test_keys_with_a_prefix_are_the_same_keys(prefix: str, tiny_models: Models, local: Path) -> None:
    """Tools that repack weights put a prefix before the keys, and may store fewer bits."""
    file = local / FRAMEPACK_I2V / "diffusion_pytorch_model.safetensors"
    save_file({prefix + key: value.bfloat16() for key, value in load_file(file).items()}, file)
    loaded = load_models(str(file), kind="i2v")
    for key, value in weights(tiny_models.transformer).items():
        assert torch.equal(weights(loaded.transformer)[key], value.bfloat16().float())


def test_keys_that_do_not_fit_are_named(local: Path) -> None:
    """Unknown keys, missing keys, and shapes of another model are named, with where the shape is from."""
    folder = local / FRAMEPACK_I2V
    file = folder / "diffusion_pytorch_model.safetensors"
    good = load_file(file)
    save_file(good | {"proj_out.scale_weight": torch.ones(1)}, file)
    with pytest.raises(ModelUnavailable, match=r"proj_out\.scale_weight is unknown"):
        load_models(str(file), kind="i2v")
    save_file({key: value for key, value in good.items() if key != "proj_out.bias"}, file)
    with pytest.raises(ModelUnavailable, match=r"config\.json beside it.*proj_out\.bias is missing"):
        load_models(str(file), kind="i2v")
    (folder / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"official shape.*wanted \(3072,\).* more"):
        load_models(str(file), kind="i2v")


def test_both_models_share_the_other_parts(tiny_cache: Path) -> None:
    """I2V and F1 in one process: two transformers, and one copy of everything else."""
    shelf = ModelShelf(cache_dir=tiny_cache)
    i2v, f1 = shelf.get("tiny"), shelf.get("tiny-f1")
    assert (i2v.kind, f1.kind) == ("i2v", "f1")
    assert not same(i2v.transformer, f1.transformer)
    for part in MODELS["tiny"].parts:
        assert (getattr(i2v, part) is getattr(f1, part)) == (part != "transformer")
    assert shelf.get("tiny").transformer is i2v.transformer


def test_where_memory_is_short_one_transformer_stays(tiny_cache: Path, local: Path) -> None:
    """Without room for two, the first transformer is let go before the second is loaded; other models' parts always."""
    shelf = ModelShelf(cache_dir=tiny_cache, free_bytes=lambda: 0)
    first = weakref.ref(shelf.get("tiny").transformer)
    vae = weakref.ref(shelf.get("tiny-f1").vae)
    gc.collect()
    assert first() is None
    assert vae() is shelf.get("tiny").vae
    shelf.get(str(local))
    gc.collect()
    assert vae() is None


def test_the_f1_model_that_goes_with_an_i2v_one() -> None:
    """Its namesake, also among a farm's own; without one FramePack's; an F1 model is its own."""
    known = known_models("mine=i2v:/a,mine-f1=f1:/b,lone=i2v:/c,lone-f1=i2v:/d")
    found = {name: f1_of(name, known) for name in ("tiny", "framepack-i2v", "mine", "mine-f1", "lone")}
    assert found == {
        "tiny": "tiny-f1",
        "framepack-i2v": "framepack-f1",
        "mine": "mine-f1",
        "mine-f1": "mine-f1",
        "lone": "framepack-f1",
    }


def test_a_farms_own_models_are_listed_by_name(local: Path, tiny_models: Models) -> None:
    """NAME=KIND:PATH adds a model beside the catalog's; pieces that are none are named."""
    file = local / FRAMEPACK_I2V / "diffusion_pytorch_model.safetensors"
    known = known_models(f"mine=i2v:{local}, other=f1:{file}")
    assert [*known] == [*MODELS, "mine", "other"]
    assert same(load_models(known["mine"]).transformer, tiny_models.transformer)
    assert (load_models(known["other"]).kind, load_models(known["other"]).name) == ("f1", "other")
    for wrong in ("mine", "mine=/path", "mine=wan:/path", "=i2v:/path", "tiny=i2v:/path"):
        with pytest.raises(ModelUnavailable, match="need NAME=i2v:PATH"):
            known_models(wrong)
    with pytest.raises(ModelUnavailable, match=r"'gone': /nowhere is missing"):
        load_models(known_models("gone=i2v:/nowhere")["gone"])
