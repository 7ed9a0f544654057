"""Tokenizers of the tiny models, made without a download: real classes, byte-level, a few hundred tokens.

The one trick: FramePack drops the first 95 tokens, which are HunyuanVideo's instructions to Llama. So the tiny
vocabulary holds each word of those instructions as one token, and the prefix is 95 tokens here as it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

#: How Llama 3 cuts text into pieces before merging (a fact of its published tokenizer.json).
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<pad>"
MARKS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def llama_tokenizer(texts: Sequence[str] = ()) -> Any:
    """A byte-level BPE tokenizer with Llama 3's cut, special tokens and begin-of-text; any text survives it unchanged.

    texts: the words of these are one token each too.
    Returns: a transformers `PreTrainedTokenizerFast` that pads on the right.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from framepack_engine.prompts import TEMPLATE

    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ],
    )
    text = TEMPLATE
    for mark in MARKS:
        text = text.replace(mark, "\0")
    words = [piece for part in (*text.split("\0"), *texts) for piece, _ in cut.pre_tokenize_str(part)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = merges_for(words)
    vocabulary = {token: i for i, token in enumerate([*letters, *("".join(pair) for pair in merges)])}

    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = cut
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in (BOS, EOS, *MARKS, PAD)])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        special_tokens=[(BOS, backend.token_to_id(BOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="right",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def merges_for(words: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Merge rules, in rank order, under which byte-pair encoding makes one token of each of `words`, by their symbols.

    A later rule never breaks an earlier word: while a word can still be merged by earlier rules, those rank first.
    """
    merges: list[tuple[str, str]] = []
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        symbols = list(word)
        while len(symbols) > 1:
            rank, at = min((ranks.get((a, b), len(ranks)), i) for i, (a, b) in enumerate(pairwise(symbols)))
            if rank == len(ranks):
                ranks[symbols[0], symbols[1]] = rank
                merges.append((symbols[0], symbols[1]))
            symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
    return merges


def clip_tokenizer(words: Sequence[str] = ()) -> Any:
    """A CLIP tokenizer of single bytes: what CLIP does to text (lower case, one space, start and end) holds.

    words: these, in lower-case ASCII letters, are one token each.
    Returns: a transformers `CLIPTokenizer` whose end token has the highest id, as CLIP's own.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = merges_for([[*word[:-1], f"{word[-1]}</w>"] for word in words])
    single = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens = [*single, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=77)
