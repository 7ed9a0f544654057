"""Stage `text`: both text encoders learn what a prompt asks for, so that the transformer need not learn to read.

docs/decisions/0060 says why random encoders are not enough.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from framepack_engine.planning.prompt_template import CLIP_TOKENS, CROPPED_TOKENS, PROMPT_TOKENS, TEMPLATE
from lab.training.data.motions import SPEEDS, Motion, throw_motion
from lab.training.data.pictures import Dice
from lab.training.data.prompts import prompt_for
from lab.training.parts import TEXT_DIM, make_text_parts
from lab.training.recipe import Recipe

KINDS = tuple(SPEEDS)
_PACES = ("slow", "plain", "quick")
_BATCH = 32
_READ = ("states", "last", "pooled")  #: Llama's third-last states and last ones, CLIP's pooled output


class Reader(nn.Module):
    """Both encoders and, for training alone, the heads that guess motion and pace from their outputs."""

    def __init__(self, llama: Any, clip: Any) -> None:
        super().__init__()
        self.llama, self.clip = llama, clip
        self.guess = nn.ModuleDict({name: nn.Linear(TEXT_DIM, len(KINDS) + len(_PACES)) for name in _READ})

    def forward(self, ids: Tensor, mask: Tensor, clip_ids: Tensor) -> dict[str, Tensor]:
        """Token numbers as `embed_prompt` gives them. Returns: (B, motions + paces) by what was read."""
        told = self.llama(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        real = mask[:, CROPPED_TOKENS:, None].to(told.last_hidden_state.dtype)

        def middle(states: Tensor) -> Tensor:
            return (states[:, CROPPED_TOKENS:] * real).sum(1) / real.sum(1)

        read = {"states": middle(told.hidden_states[-3]), "last": middle(told.last_hidden_state)}
        read["pooled"] = self.clip(input_ids=clip_ids).pooler_output
        return {name: self.guess[name](read[name]) for name in _READ}


class TextStage:
    """Trains the encoders to guess which motion a prompt asks for, and how fast."""

    name = "text"

    def __init__(self, recipe: Recipe, *, device: str, parts: dict[str, Any] | None = None) -> None:
        """parts: what `make_text_parts` returns; None makes them."""
        self.parts = make_text_parts() if parts is None else parts
        self._recipe, self._device = recipe, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 2)
            self.model: nn.Module = Reader(self.parts["text_encoder"], self.parts["text_encoder_2"]).train()

    def loss(self, model: nn.Module, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Return the cross entropy of motion and pace over all outputs; `wrong` is CLIP's share of misses."""
        dice = Dice(self._recipe.seed, 4, step * world + rank)
        motions = [throw_motion(dice) for _ in range(_BATCH)]
        guesses = model(*self.tokens([prompt_for(motion, dice) for motion in motions]))
        kinds, paces = self._wanted(motions)
        total = torch.zeros((), device=kinds.device)
        for guess in guesses.values():
            total = total + functional.cross_entropy(guess[:, : len(KINDS)].float(), kinds)
            total = total + 0.3 * functional.cross_entropy(guess[:, len(KINDS) :].float(), paces)
        return {"loss": total, "wrong": 1 - _hits(guesses["pooled"], kinds)}

    def _wanted(self, motions: list[Motion]) -> tuple[Tensor, Tensor]:
        kinds = torch.tensor([KINDS.index(motion.kind) for motion in motions], device=self._device)
        return kinds, torch.tensor([_PACES.index(motion.pace) for motion in motions], device=self._device)

    def tokens(self, prompts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokenize for both encoders as the engine does, but pad to the longest of these prompts only."""
        told = self.parts["tokenizer"](
            [TEMPLATE.replace("{}", prompt) for prompt in prompts],
            max_length=CROPPED_TOKENS + PROMPT_TOKENS,
            padding="longest",
            truncation=True,
            return_tensors="pt",
        )
        short = self.parts["tokenizer_2"](
            prompts, max_length=CLIP_TOKENS, padding="max_length", truncation=True, return_tensors="pt"
        )
        device = self._device
        return told.input_ids.to(device), told.attention_mask.to(device), short.input_ids.to(device)


def _hits(guess: Tensor, kinds: Tensor) -> Tensor:
    return (guess[:, : len(KINDS)].argmax(1) == kinds).float().mean()
