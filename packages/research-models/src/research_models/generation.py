"""Generate tokens with a decoder: greedy, or sampled with temperature, top-k and top-p."""

import math
from collections.abc import Collection

import torch
from torch import Tensor

from research_models.masks import check_mask
from research_models.positions import real_positions
from research_models.transformer import Transformer


@torch.no_grad()
def generate(
    model: Transformer,
    tokens: Tensor,
    new_tokens: int,
    mask: Tensor | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos: int | Collection[int] | None = None,
    context: Tensor | None = None,
    context_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The tokens that a decoder adds to each prompt, (batch, at most new_tokens).

    model: in evaluation mode, or its dropout acts. Layers with a mixer read all again each time;
        others keep a cache.
    tokens: (batch, length), the prompts, the shorter ones padded on the left.
    mask: (batch, length) bool, True is a real token; None when all are.
    temperature: 0 takes the most probable token; else the logits are divided by it and a token is
        drawn.
    top_k: draw among the k most probable tokens.
    top_p: draw among the fewest tokens that together have at least this probability (nucleus
        sampling, arXiv 1904.09751, section 3.1), after top_k.
    eos: the token that ends a sequence, or several, as Llama 3 has; after it a row has only this
        token. Ends early when all rows have. None for no end.
    context, context_mask: as for Transformer.forward.
    generator: of the draws; None for torch's own.

    Raises ValueError when the tokens don't fit the model's positions, when padding stands on the
    right, for a row of padding alone, and for values that mean nothing.
    """
    check_sampling(temperature, top_k, top_p)
    if new_tokens < 0:
        raise ValueError(f"new_tokens must be 0 or positive, got {new_tokens}")
    ends = end_tokens(eos, model.config.vocabulary, tokens.device)
    if not model.config.causal:
        raise ValueError("only a decoder generates, but the model's config has causal=False")
    length = tokens.shape[-1]
    limit = model.config.length
    if limit is not None and length + new_tokens > limit:
        raise ValueError(
            f"{length} tokens and {new_tokens} new ones, but the model has {limit} positions"
        )
    check_prompt_mask(mask, tokens)
    positions = None if mask is None else real_positions(mask)
    cache = model.new_cache() if model.stack.has_attention() else None
    made: list[Tensor] = []
    ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    new, new_mask = tokens, mask
    for number in range(new_tokens):
        hidden = model.hidden(new, new_mask, None, positions, context, cache, context_mask)
        token = next_token(model.logits(hidden[:, -1]), temperature, top_k, top_p, generator)
        if ends is not None:
            token = torch.where(ended, made[-1], token) if made else token
            ended = torch.isin(token, ends)
        made.append(token)
        if number + 1 == new_tokens or (ends is not None and bool(ended.all())):
            break
        column = token.unsqueeze(1)
        if cache is not None:
            new, new_mask = column, None
            positions = None if positions is None else positions[:, -1:] + 1
        else:
            new = torch.cat([new, column], dim=1)
            if new_mask is not None:
                new_mask = torch.cat([new_mask, torch.ones_like(column, dtype=torch.bool)], dim=1)
                positions = real_positions(new_mask)
    return torch.stack(made, dim=1) if made else tokens[:, :0]


def next_token(
    logits: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> Tensor:
    """A token for each row of logits: (batch, vocabulary) to (batch,). Arguments as of generate."""
    if temperature == 0:
        return logits.argmax(-1)
    probability = sampling_logits(logits, temperature, top_k, top_p).softmax(-1)
    return torch.multinomial(probability, 1, generator=generator).squeeze(1)


def sampling_logits(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Logits over the temperature, in float32; -inf for tokens that can't be drawn.

    logits: (..., vocabulary). Returns the same shape. Arguments as of generate.
    """
    logits = logits.float() / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None and top_p < 1:  # with 1, rounding would leave out tokens of a large sum
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(-1)
        # A token stays while those before it have less than top_p together: so the first always.
        left_out = probability.cumsum(-1) - probability >= top_p
        logits = logits.masked_fill(left_out.scatter(-1, order, left_out), -torch.inf)
    return logits


def end_tokens(
    eos: int | Collection[int] | None, vocabulary: int, device: torch.device
) -> Tensor | None:
    """The tokens that end a sequence. Raises ValueError for what is no token of the vocabulary."""
    if eos is None:
        return None
    ends = [eos] if isinstance(eos, int) else list(eos)
    for token in ends:
        if not 0 <= token < vocabulary:
            raise ValueError(f"eos must be from 0 to {vocabulary - 1}, got {token}")
    return torch.tensor(ends, dtype=torch.long, device=device)


def check_prompt_mask(mask: Tensor | None, tokens: Tensor) -> None:
    """Raise ValueError unless each prompt has a token, and padding only before the first."""
    check_mask(mask, tokens)
    if mask is None:
        return
    empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"row {empty[0]} of the mask has no real token, but a prompt needs one")
    if not mask[:, -1].all() or (mask[:, :-1] & ~mask[:, 1:]).any():
        raise ValueError("prompts must be padded on the left: the mask has padding after a token")


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ValueError for values that mean nothing."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 or positive, and finite, got {temperature}")
    if temperature == 0 and (top_k is not None or top_p is not None):
        raise ValueError(
            f"top_k and top_p need a temperature above 0, got top_k={top_k}, top_p={top_p}"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
