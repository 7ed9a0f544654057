"""The built-in models: made once, the same everywhere, honest tokenizers in a small vocabulary."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.models import tiny
from framepack_engine.models.catalog import HUNYUAN, MODELS, TINY_VERSION
from framepack_engine.models.shelf import Models
from framepack_engine.models.tiny import cache_root, clip_tokenizer, ensure_tiny, llama_tokenizer, merges_for
from framepack_engine.planning.prompt_template import CROPPED_TOKENS, TEMPLATE

LLAMA = llama_tokenizer()


def files(root: Path) -> dict[str, bytes]:
    """Every file under `root` with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_template_is_the_one_that_diffusers_uses() -> None:
    """The prompt template and the crop equal diffusers' constants (read from its source: importing it is slow)."""
    package = importlib.util.find_spec("diffusers")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).parent / "pipelines/hunyuan_video/pipeline_hunyuan_video_framepack.py"
    values = [
        ast.literal_eval(node.value)
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEFAULT_PROMPT_TEMPLATE"
    ]
    assert values == [{"template": TEMPLATE, "crop_start": CROPPED_TOKENS}]


def test_the_prefix_is_as_long_as_the_official_one() -> None:
    """HunyuanVideo's instructions are 95 tokens, begin-of-text included, as in Llama 3's own vocabulary."""
    assert len(LLAMA(TEMPLATE.split("{}")[0]).input_ids) == CROPPED_TOKENS


@given(st.text(max_size=200))
def test_any_prompt_survives_the_tokenizer(prompt: str) -> None:
    """Encoding and decoding gives the prompt back, in any script, with all its spaces, and never an unknown token."""
    ids = LLAMA(prompt, add_special_tokens=False).input_ids
    assert LLAMA.decode(ids) == prompt


@given(st.lists(st.text(alphabet="abcd", min_size=1, max_size=8), max_size=12))
def test_merge_rules_make_each_word_one_token(words: list[str]) -> None:
    """Under the rules of `merges_for`, even if words share pieces, byte-pair encoding ends with one token a word."""
    from tokenizers.models import BPE

    merges = merges_for(words)
    tokens = dict.fromkeys([*"abcd", *("".join(pair) for pair in merges)])
    model = BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    assert [len(model.tokenize(word)) for word in words] == [1] * len(words)


def test_clip_tokens_begin_and_end_as_clip_wants() -> None:
    """Start and end tokens are the two highest ids, padding is the end token, and text is lower-cased."""
    tokenizer = clip_tokenizer()
    short = tokenizer("A Cat", padding="max_length", max_length=77, truncation=True).input_ids
    assert len(short) == 77
    assert short[0] == len(tokenizer) - 2
    assert short[-1] == len(tokenizer) - 1
    assert short == tokenizer("a   cat", padding="max_length", max_length=77, truncation=True).input_ids


def test_it_is_small_and_lies_in_the_official_layout(tiny_cache: Path) -> None:
    """All parts of both models are there, in a few MB."""
    root = ensure_tiny(tiny_cache)
    assert sum(len(data) for data in files(root).values()) < 5e6
    for name in ("tiny", "tiny-f1"):
        assert all((root / part.repo / part.folder).is_dir() for part in MODELS[name].parts.values())


def test_the_same_weights_are_drawn_each_time(tiny_cache: Path, tmp_path: Path) -> None:
    """Two caches made separately hold the same bytes, and a cache that is there is taken as it is."""
    assert files(ensure_tiny(tmp_path)) == files(ensure_tiny(tiny_cache))
    marked = ensure_tiny(tmp_path) / "mark"
    marked.touch()
    ensure_tiny(tmp_path)
    assert marked.exists()


def test_i2v_and_f1_differ_in_the_transformer_only(tiny_cache: Path) -> None:
    """The two models share every other part and have the same shapes."""
    root = ensure_tiny(tiny_cache)
    i2v, f1 = (root / MODELS[name].parts["transformer"].repo for name in ("tiny", "tiny-f1"))
    assert files(i2v).keys() == files(f1).keys()
    assert files(i2v)["config.json"] == files(f1)["config.json"]
    assert files(i2v) != files(f1)


def test_who_comes_second_takes_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process finishes first, its folder stays, ours goes, and nobody notices."""

    def slower_than_another(aside: Path) -> None:
        (aside / "ours").touch()
        (tmp_path / f"tiny-v{TINY_VERSION}").mkdir()
        (tmp_path / f"tiny-v{TINY_VERSION}" / "theirs").touch()

    monkeypatch.setattr(tiny, "write_tiny", slower_than_another)
    assert list(files(ensure_tiny(tmp_path))) == ["theirs"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing fails half way, the next try begins from nothing."""

    def full(aside: Path) -> None:
        (aside / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiny, "write_tiny", full)
    with pytest.raises(OSError, match="No space left"):
        ensure_tiny(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over FARM_CACHE, and FARM_CACHE over the user's cache folder."""
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "env"))
    assert cache_root(tmp_path / "argument") == tmp_path / "argument"
    assert cache_root() == tmp_path / "env"
    monkeypatch.delenv("FARM_CACHE")
    assert cache_root().name == "framepack-farm"


def test_the_llama_tokenizer_on_disk_is_the_one_that_was_made(tiny_cache: Path, tiny_models: Models) -> None:
    """Saving and loading changes no token."""
    assert (ensure_tiny(tiny_cache) / HUNYUAN / "tokenizer" / "tokenizer.json").is_file()
    text = TEMPLATE.replace("{}", "The cat's 3 kittens\n  play.")
    assert tiny_models.tokenizer(text).input_ids == LLAMA(text).input_ids
