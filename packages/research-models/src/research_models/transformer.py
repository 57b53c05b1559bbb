"""The Transformer: encoder, decoder, or both with a context; its parts are arguments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from research_models.attention import (
    NO_GRADIENT,
    Attention,
    Cache,
    CrossAttention,
    KeyValues,
    allowed_keys,
    head_sizes,
)
from research_models.choices import one_of
from research_models.feed_forward import ACTIVATIONS, FeedForward, hidden_units
from research_models.initialisation import gpt2
from research_models.masks import check_mask
from research_models.norms import Norm, make_norm
from research_models.positions import Positions, Rotation, rotation, sinusoidal

Mixer = Callable[[int, int], nn.Module]
"""Makes what stands in place of attention, from width and heads: `research_models.BaseConv`."""

PARTS = Attention, CrossAttention, FeedForward


@dataclass(frozen=True)
class TransformerConfig:
    """What a Transformer is made of. The defaults are GPT-2's; all else is given by name."""

    vocabulary: int
    """Number of tokens."""
    width: int
    """Features of a token between layers."""
    layers: int
    heads: int
    """Heads of the queries."""
    length: int | None = None
    """Tokens of the longest sequence; None for no bound, which learned positions need."""
    causal: bool = True
    """Whether a token attends only to itself and those before it: a decoder. Else an encoder."""
    cross_attention: bool = False
    """Whether each layer has a second attention, to a context (arXiv 1706.03762, Figure 1)."""
    key_value_heads: int | None = None
    """Heads of keys and values: fewer than heads is grouped-query attention; None for as many."""
    head_width: int | None = None
    """Features of a head; None for width / heads."""
    hidden: int | None = None
    """Hidden units of the feed-forward layers; None for 4 width; 0 for no feed-forward layers."""
    activation: str = "gelu_tanh"
    """Plain "relu", "gelu", "gelu_tanh", "silu"; gated "reglu", "geglu", "geglu_tanh", "swiglu"."""
    norm: Norm = "layer"
    """LayerNorm ("layer") or RMSNorm ("rms")."""
    norm_eps: float = 1e-5
    norm_place: Literal["pre", "post"] = "pre"
    """Before each part and after the last layer, or after each sum (arXiv 2002.04745, Figure 1)."""
    embedding_norm: bool = False
    """Whether the sum of the embeddings is normalised, as BERT's is."""
    query_key_norm: bool = False
    """Whether queries and keys are normalised by RMSNorm per head (Qwen3, arXiv 2505.09388)."""
    positions: Positions = "learned"
    """"learned", "sinusoidal" (arXiv 1706.03762), "rotary" (arXiv 2104.09864) or "none"."""
    rotary_base: float = 10_000.0
    """Base of the rotary angles ("theta")."""
    segments: int = 0
    """Number of segment embeddings; BERT has 2."""
    embedding_scale: float = 1.0
    """Factor of the token embeddings: width^0.5 in the original (arXiv 1706.03762, 3.4)."""
    bias: bool = True
    """Whether the linear layers and LayerNorms have biases. The head has none."""
    tied: bool = True
    """Whether the head's weight is the token embedding's (arXiv 1608.05859)."""
    logit_scale: float = 1.0
    """Factor of the logits: in muP the head's multiplier (`initialisation.mup_scales`)."""
    attention_scale: float | None = None
    """Factor of the products of queries and keys; None for head_width^-0.5. In muP
    base_head_width^0.5 / head_width (arXiv 2203.03466, Definition 4.1)."""
    dropout: float = 0.0
    """Share of features set to 0 after embeddings, attention and feed-forward layers."""
    embedding_dropout: float | None = None
    """The share after the embeddings, where it is another; None for `dropout`."""
    attention_dropout: float = 0.0
    """Share of attention weights set to 0."""

    def __post_init__(self) -> None:
        """Raise ValueError for values that no model has, or that don't go together."""
        check_least(self, 1, "vocabulary", "width", "heads", "length")
        check_least(self, 0, "layers", "hidden", "segments", "norm_eps")
        for name in ("dropout", "embedding_dropout", "attention_dropout"):
            if (share := getattr(self, name)) is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {share}")
        if not self.rotary_base > 0:
            raise ValueError(f"rotary_base must be above 0, got {self.rotary_base}")
        for name, kind in (("norm", Norm), ("positions", Positions)):
            one_of(name, getattr(self, name), get_args(kind))
        one_of("norm_place", self.norm_place, ("pre", "post"))
        one_of("activation", self.activation, ACTIVATIONS)
        _, _, head_width = head_sizes(self.width, self.heads, self.key_value_heads, self.head_width)
        if self.positions == "learned" and self.length is None:
            raise ValueError("learned positions need a length, got None")
        if self.positions == "rotary" and head_width % 2:
            raise ValueError(f"rotary positions need an even head width, got {head_width}")
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"sinusoidal positions need an even width, got {self.width}")

    def filled(self) -> "TransformerConfig":
        """The same config with the numbers that None stands for."""
        _, groups, head_width = head_sizes(
            self.width, self.heads, self.key_value_heads, self.head_width
        )
        scale = head_width**-0.5 if self.attention_scale is None else self.attention_scale
        return replace(
            self,
            key_value_heads=groups,
            head_width=head_width,
            hidden=hidden_units(self.width, self.hidden),
            attention_scale=scale,
        )


class Transformer(nn.Module):
    """A language model or encoder over tokens: embeddings, a stack of layers, a linear head.

    Vaswani et al., arXiv 1706.03762, Figure 1: each of its two stacks is one of these, the decoder
    with `cross_attention=True` and given the encoder's hidden states as context. GPT-2, Llama,
    Qwen3 and BERT's encoder are others; `load_pretrained` makes them with their weights.

        config = TransformerConfig(vocabulary=65, width=128, layers=4, heads=4, length=64)
        logits = Transformer(config)(tokens)            # (batch, length, 65)
        Transformer(replace(config, positions="rotary", norm="rms", activation="swiglu"))

    config: what it is made of.
    mixer: what stands in place of attention in each layer, made by `mixer(width, heads)` and called
        as `mixer(x, mask)`; or one of these a layer, None for attention. It must be causal itself
        where the model is to be (one whose attribute `causal` says otherwise is refused), and
        takes neither rotary positions nor a cache.

    Initialisation: GPT-2's (Radford et al. 2019, section 2.3): weights normal with standard
    deviation 0.02, in layers that end on the residual 0.02 / sqrt(their number); biases 0, gains 1.
    A mixer draws its own, and counts as one of these. Departs from the original in that post-norm
    and sinusoidal positions aren't the defaults.
    """

    tied_weights: Mapping[str, str]
    """Weights that are used twice, by the name of the second use: a tied head's."""

    def __init__(
        self, config: TransformerConfig, mixer: Mixer | Sequence[Mixer | None] | None = None
    ):
        super().__init__()
        self.config = config
        width = config.width
        self.embedding = nn.Embedding(config.vocabulary, width)
        if config.positions == "learned" and config.length is not None:
            self.position_embedding = nn.Embedding(config.length, width)
        if config.segments:
            self.segment_embedding = nn.Embedding(config.segments, width)
        if config.embedding_norm:
            self.embedding_norm = make_norm(config.norm, width, config.norm_eps, config.bias)
        embedding_dropout = config.embedding_dropout
        self.dropout = nn.Dropout(
            config.dropout if embedding_dropout is None else embedding_dropout
        )
        self.stack = Stack(config, mixer)
        if not config.tied:
            self.head = nn.Linear(width, config.vocabulary, bias=False)
        self.tied_weights = {"head.weight": "embedding.weight"} if config.tied else {}
        for part in self.children():
            if isinstance(part, nn.Embedding | nn.Linear):
                nn.init.normal_(part.weight, 0.0, 0.02)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        positions: Tensor | None = None,
        context: Tensor | None = None,
        cache: Cache | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Score every next token (of a decoder) or the token at each place (of an encoder).

        tokens: (batch, length), integers.
        mask: (batch, length) bool, True is a real token; None when all are. Results at padding
            mean nothing. A decoder needs none for padding on the right, and is faster without.
        segments: (batch, length), integers; None for segment 0 everywhere.
        positions: (batch, length) or (length,), integers; None for 0, 1, 2, ... after what the
            cache holds. With padding on the left, `real_positions(mask)`.
            Their values aren't checked but where they are learned, and there on a CPU alone.
        context: (batch, context length, width), for cross_attention.
        cache: from `new_cache()`; tokens are then those after what it holds, and are added to it.
        context_mask: (batch, context length) bool, as mask.

        Returns logits, (batch, length, vocabulary).
        """
        return self.logits(
            self.hidden(tokens, mask, segments, positions, context, cache, context_mask)
        )

    def hidden(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        positions: Tensor | None = None,
        context: Tensor | None = None,
        cache: Cache | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """The last layer's output (after the last norm), (batch, length, width).

        Arguments are those of forward.
        """
        past = cache.length if cache is not None else 0
        check_integers(tokens, "tokens", tokens)
        if segments is not None:
            check_integers(tokens, "segments", segments)
        positions = self.checked_positions(tokens, positions, past)
        x = self.embedded(tokens, segments, positions)
        turned = self.stack.rotation(positions) if self.config.positions == "rotary" else None
        return self.stack(x, mask, turned, context, cache, context_mask)

    def logits(self, hidden: Tensor) -> Tensor:
        """The head alone: hidden states, (..., width), to logits, (..., vocabulary)."""
        weight = self.embedding.weight if self.config.tied else self.head.weight
        if self.config.logit_scale != 1.0:
            hidden = hidden * self.config.logit_scale  # of fewer numbers than the logits
        return functional.linear(hidden, weight)

    def new_cache(self) -> Cache:
        """An empty cache for forward. Raises ValueError where there can be none."""
        if not (self.config.causal and self.stack.has_attention()):
            raise ValueError("a cache is for causal attention: an encoder or a mixer has none")
        return Cache(self.config.layers)

    def embedded(self, tokens: Tensor, segments: Tensor | None, positions: Tensor) -> Tensor:
        """What the first layer reads, (batch, length, width)."""
        x = looked_up(self.embedding, "tokens", tokens)
        if self.config.embedding_scale != 1.0:
            x = x * self.config.embedding_scale
        if self.config.segments:
            # Without segments, as published BERTs: that of segment 0.
            if segments is None:
                x = x + self.segment_embedding.weight[0]
            else:
                x = x + looked_up(self.segment_embedding, "segments", segments)
        elif segments is not None:
            raise ValueError("segments were given, but the config has segments=0")
        if self.config.positions == "learned":
            x = x + looked_up(self.position_embedding, "positions", positions)
        if self.config.positions == "sinusoidal":
            x = x + sinusoidal(positions, self.config.width).to(x.dtype)
        if self.config.embedding_norm:
            x = self.embedding_norm(x)
        return self.dropout(x)

    def checked_positions(self, tokens: Tensor, positions: Tensor | None, past: int) -> Tensor:
        """The positions of tokens after `past` others. Raises ValueError for too many tokens."""
        length = past + tokens.shape[1]
        if self.config.length is not None and length > self.config.length:
            raise ValueError(
                f"the sequence has {length} tokens, but the model has {self.config.length} "
                "positions"
            )
        if positions is None:
            return torch.arange(past, length, device=tokens.device)
        check_integers(tokens, "positions", positions, shared=True)
        return positions


class Stack(nn.Module):
    """The layers of a Transformer, and the norm after the last where norms stand before.

    Arguments are those of Transformer. Here for models over other things than tokens, as ViT.
    """

    def __init__(
        self, config: TransformerConfig, mixer: Mixer | Sequence[Mixer | None] | None = None
    ):
        super().__init__()
        mixers = list(mixer) if isinstance(mixer, Sequence) else [mixer] * config.layers
        if len(mixers) != config.layers:
            raise ValueError(f"{len(mixers)} mixers, but the config has {config.layers} layers")
        if any(mixers) and config.positions == "rotary":
            raise ValueError("a mixer takes no rotary positions: they turn attention's queries")
        if mixers and all(mixers):
            check_without_attention(config)
        self.config = config
        self.layers = nn.ModuleList(Layer(config, each) for each in mixers)
        if config.norm_place == "pre":
            self.norm = make_norm(config.norm, config.width, config.norm_eps, config.bias)
        self.initialise()

    def initialise(self) -> None:
        """Draw the weights as GPT-2's, but those of mixers."""
        parts = [part for layer in self.layers for part in layer.named_children()]
        gpt2(
            self,
            sorted({f"{name}.output" for name, part in parts if isinstance(part, PARTS)}),
            mixers=[
                part
                for name, part in parts
                if name == "attention" and not isinstance(part, Attention)
            ],
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rotation: Rotation | None = None,
        context: Tensor | None = None,
        cache: Cache | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """x: (batch, length, width). Returns the same shape.

        rotation: of rotary positions, from the method. All else is as for Transformer.forward.
        """
        check_mask(mask, x)
        self.check_context(x, context)
        past = cache.length if cache is not None else 0
        if cache is not None:
            self.check_cache(cache, x)
            cache.forget_unread()
            mask = cache.mask_with(x, mask)
        # Once for all layers.
        allowed = allowed_keys(x, mask, self.config.causal, past)
        for number, layer in enumerate(self.layers):
            of_layer = None if cache is None else (cache.tokens[number], cache.context[number])
            x = layer(x, mask, rotation, allowed, context, context_mask, of_layer)
        if cache is not None:  # only now, so that a call that fails can be made again
            cache.length, cache.mask = past + x.shape[1], mask
        return self.norm(x) if self.config.norm_place == "pre" else x

    def rotation(self, positions: Tensor) -> Rotation:
        """Cosines and sines for rotary positions, (batch or none, 1, length, head width / 2)."""
        config = self.config
        sizes = head_sizes(config.width, config.heads, config.key_value_heads, config.head_width)
        cos, sin = rotation(positions, sizes[2], config.rotary_base)
        return cos.unsqueeze(-3), sin.unsqueeze(-3)  # the same for every head

    def has_attention(self) -> bool:
        """Whether all layers have attention, and none a mixer in its place."""
        return all(isinstance(layer.attention, Attention) for layer in self.layers)

    def check_cache(self, cache: Cache, x: Tensor) -> None:
        """Raise ValueError unless the cache has as many layers, and no gradient is wanted."""
        if len(cache.tokens) != len(self.layers):
            raise ValueError(
                f"the cache is of {len(cache.tokens)} layers, but the model has {len(self.layers)}"
            )
        if torch.is_grad_enabled() and (
            x.requires_grad or any(each.requires_grad for each in self.parameters())
        ):
            raise ValueError(NO_GRADIENT)

    def check_context(self, x: Tensor, context: Tensor | None) -> None:
        """Raise ValueError unless there is a context where one is read, and of the right shape."""
        if not self.config.cross_attention:
            if context is not None:
                raise ValueError("context was given, but the config has cross_attention=False")
        elif context is None:
            raise ValueError("the config has cross_attention=True, but no context was given")
        elif (context.ndim, context.shape[0], context.shape[-1]) != (3, x.shape[0], x.shape[2]):
            raise ValueError(
                f"context must have the shape ({x.shape[0]}, length, {x.shape[2]}), got "
                f"{tuple(context.shape)}"
            )


class Layer(nn.Module):
    """Attention or another mixer, attention to a context, feed-forward: each with a residual.

    Pre-norm: x + part(norm(x)). Post-norm: norm(x + part(x)) (arXiv 2002.04745, Figure 1).
    """

    def __init__(self, config: TransformerConfig, mixer: Mixer | None = None):
        super().__init__()
        width, heads = config.width, config.heads

        def norm() -> nn.Module:
            return make_norm(config.norm, width, config.norm_eps, config.bias)

        self.pre = config.norm_place == "pre"
        self.cross = config.cross_attention
        self.has_feed_forward = config.hidden != 0
        self.dropout = nn.Dropout(config.dropout)
        self.attention_norm = norm()
        self.attention = (
            mixer(width, heads)
            if mixer
            else Attention(
                width,
                heads,
                config.key_value_heads,
                config.head_width,
                config.causal,
                config.bias,
                config.norm_eps if config.query_key_norm else None,
                config.attention_dropout,
                config.attention_scale,
            )
        )
        causal = getattr(self.attention, "causal", config.causal)
        if causal != config.causal:
            raise ValueError(
                f"a mixer made {type(self.attention).__name__} with causal={causal}, but the "
                f"config has causal={config.causal}"
            )
        if self.cross:
            self.cross_attention_norm = norm()
            self.cross_attention = CrossAttention(
                width,
                heads,
                config.key_value_heads,
                config.head_width,
                config.bias,
                config.attention_dropout,
                config.attention_scale,
            )
        if self.has_feed_forward:
            self.feed_forward_norm = norm()
            self.feed_forward = FeedForward(width, config.hidden, config.activation, config.bias)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rotation: Rotation | None = None,
        allowed: Tensor | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        cache: tuple[KeyValues, KeyValues] | None = None,
    ) -> Tensor:
        """x: (batch, length, width). Returns the same shape. Arguments are those of Stack."""
        of_tokens, of_context = cache if cache is not None else (None, None)
        h = self.attention_norm(x) if self.pre else x
        if isinstance(self.attention, Attention):
            h = self.attention(h, None, rotation, of_tokens, allowed)
        else:
            h = self.attention(h, mask)
        x = self.added(x, h, self.attention_norm)
        if self.cross and context is not None:
            h = self.cross_attention_norm(x) if self.pre else x
            h = self.cross_attention(h, context, context_mask, of_context)
            x = self.added(x, h, self.cross_attention_norm)
        if self.has_feed_forward:
            h = self.feed_forward(self.feed_forward_norm(x) if self.pre else x)
            x = self.added(x, h, self.feed_forward_norm)
        return x

    def added(self, x: Tensor, h: Tensor, norm: nn.Module) -> Tensor:
        """The residual, x + h, normalised where norms stand after the sum."""
        x = x + self.dropout(h)
        return x if self.pre else norm(x)


def check_least(config: object, least: int, *names: str) -> None:
    """Raise ValueError when one of a config's values is below the least; None isn't."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be {least} or more, got {value}")


def check_integers(tokens: Tensor, name: str, x: Tensor, shared: bool = False) -> None:
    """Raise ValueError unless x is integers, one for each token, (batch, length).

    shared: (length,) will do as well, the same for each row.
    """
    shapes = [tokens.shape, tokens.shape[1:]] if shared else [tokens.shape]
    if tokens.ndim == 2 and x.dtype in (torch.int64, torch.int32) and x.shape in shapes:
        return
    expected = "(batch, length)" if x is tokens else " or ".join(str(tuple(s)) for s in shapes)
    raise ValueError(
        f"{name} must be int64 or int32, of shape {expected}, got {x.dtype} of shape "
        f"{tuple(x.shape)}"
    )


def looked_up(embedding: nn.Embedding, name: str, numbers: Tensor) -> Tensor:
    """An embedding's rows. Raises ValueError when a number has none, on a CPU.

    A GPU would have to be waited for to know; there the kernel itself stops the program.
    """
    try:
        return embedding(numbers)
    except IndexError:
        last, least, most = embedding.num_embeddings - 1, int(numbers.min()), int(numbers.max())
        raise ValueError(
            f"{name} must be from 0 to {last}, got {least if least < 0 else most}"
        ) from None


def check_without_attention(config: TransformerConfig) -> None:
    """Raise ValueError for values that only attention reads, where every layer has a mixer."""
    names = ["query_key_norm"]
    if not config.cross_attention:
        names += ["key_value_heads", "head_width", "attention_dropout", "attention_scale"]
    defaults = {each.name: each.default for each in fields(config)}
    for name in names:
        value = getattr(config, name)
        if value != defaults[name]:
            raise ValueError(
                f"{name}={value} is of attention, but every layer has a mixer in its place: give "
                f"it to the mixer, or leave it at {defaults[name]}"
            )
