"""Multi-head and grouped-query attention, attention to a context, and the cache of a decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from research_models.masks import check_mask
from research_models.norms import rms_norm
from research_models.positions import Rotation, rotate

NO_GRADIENT = "a cache passes no gradient: call the model within torch.no_grad()"


class KeyValues:
    """Keys and values of one layer for the tokens read so far, in buffers that double when full."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.length = 0

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new tokens, (batch, heads, new, head width). Returns those of all tokens.

        Raises ValueError when they need a gradient, or have another batch size than those before.
        """
        if keys.requires_grad:
            raise ValueError(NO_GRADIENT)
        start, end = self.length, self.length + keys.shape[2]
        self.check_batch(keys)
        # Neither in inference mode, or a later call in no_grad couldn't write into them.
        with torch.inference_mode(False):
            if self.keys is None or self.values is None:
                room = keys.shape[2] + 64  # a prompt, and some tokens to generate
                self.keys, self.values = (
                    each.new_empty(*each.shape[:2], room, each.shape[3]) for each in (keys, values)
                )
            elif end > self.keys.shape[2]:
                more = max(end, 2 * self.keys.shape[2]) - self.keys.shape[2]
                self.keys = functional.pad(self.keys, (0, 0, 0, more))
                self.values = functional.pad(self.values, (0, 0, 0, more))
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def check_batch(self, x: Tensor) -> None:
        """Raise ValueError unless x, (batch, ...), has the batch size of the tokens held."""
        if self.keys is not None and len(x) != len(self.keys):
            raise ValueError(f"the cache holds a batch of {len(self.keys)}, got one of {len(x)}")


class Cache:
    """What a decoder has read: it is then fed new tokens only, one or several at a time.

    layers: of the decoder. `Transformer.new_cache()` makes one that fits.
    length: tokens read so far, padding included.
    mask: (batch, length) bool, True is a real token; None while all are.
    """

    def __init__(self, layers: int):
        self.tokens = [KeyValues() for _ in range(layers)]
        self.context = [KeyValues() for _ in range(layers)]
        self.length = 0
        self.mask: Tensor | None = None

    def forget_unread(self) -> None:
        """Drop what a call that failed has left in some of the layers."""
        if self.length:
            for each in self.tokens:
                each.length = self.length
        else:
            self.tokens = [KeyValues() for _ in self.tokens]
            self.context = [KeyValues() for _ in self.context]

    def mask_with(self, x: Tensor, mask: Tensor | None) -> Tensor | None:
        """The mask of the tokens read and of new ones, x: (batch, new, ...), whose mask is given.

        Raises ValueError when x has another batch size than the tokens read.
        """
        for each in self.tokens[:1]:
            each.check_batch(x)
        if mask is None and self.mask is None:
            return None
        before, now = (
            torch.ones(len(x), size, dtype=torch.bool, device=x.device) if each is None else each
            for size, each in ((self.length, self.mask), (x.shape[1], mask))
        )
        return torch.cat([before, now], dim=1)


class Attention(nn.Module):
    """Multi-head attention of tokens to one another (arXiv 1706.03762, section 3.2.2).

        softmax(q k^T / sqrt(head width)) v, per head (equation 1), then a linear layer

    Computed by torch's scaled_dot_product_attention. With fewer key-value heads than heads, each
    serves a group of queries (grouped-query attention, arXiv 2305.13245, Figure 2; with one,
    multi-query attention, arXiv 1911.02150).

    width: features of a token.
    heads: heads of the queries.
    key_value_heads: heads of keys and values, a divisor of heads; None for as many.
    head_width: features of a head; None for width / heads.
    causal: a token attends to itself and those before it.
    bias: whether the two linear layers have one.
    query_key_norm: normalise queries and keys per head by RMSNorm, with gains, before they are
        rotated (Qwen3, arXiv 2505.09388, section 2). None for no norm, or its eps.
    dropout: share of the attention weights set to 0 in training.
    scale: factor of the products of queries and keys; None for head_width^-0.5.

    Parameters: (width + bias) (heads + 2 key_value_heads) head_width
        + (heads head_width + bias) width, and 2 head_width with query_key_norm.
    Queries, keys and values are one layer's output, in this order, for one product in place of
    three. Initialisation: torch's for linear layers, gains 1.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        key_value_heads: int | None = None,
        head_width: int | None = None,
        causal: bool = False,
        bias: bool = True,
        query_key_norm: float | None = None,
        dropout: float = 0.0,
        scale: float | None = None,
    ):
        super().__init__()
        self.heads, self.key_value_heads, self.head_width = head_sizes(
            width, heads, key_value_heads, head_width
        )
        self.causal = causal
        self.query_key_norm = query_key_norm
        self.dropout = dropout
        self.scale = scale
        rows = (self.heads + 2 * self.key_value_heads) * self.head_width
        self.query_key_value = nn.Linear(width, rows, bias)
        self.output = nn.Linear(self.heads * self.head_width, width, bias)
        if query_key_norm is not None:
            self.query_gain = nn.Parameter(torch.ones(self.head_width))
            self.key_gain = nn.Parameter(torch.ones(self.head_width))

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rotation: Rotation | None = None,
        cache: KeyValues | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """x: (batch, length, width). Returns the same shape.

        mask: (batch, length) bool, True is a real token; None when all are. With a cache that
            holds tokens, (batch, all tokens). A causal model needs none for padding on the right,
            and is faster without.
        rotation: of the queries and keys, from `positions.rotation`; None for none.
        cache: keys and values of tokens before x; those of x are added.
        allowed: what `allowed_keys` gives, where it is known.
        """
        past = cache.length if cache is not None else 0
        if allowed is None:
            allowed = allowed_keys(x, mask, self.causal, past)
        qkv = self.query_key_value(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        groups = self.key_value_heads
        qk, v = qkv.split([self.heads + groups, groups], dim=1)
        # Queries and keys at once, as they have the same norm and rotation but for the gains.
        if self.query_key_norm is not None:
            gains = [self.query_gain.expand(self.heads, -1), self.key_gain.expand(groups, -1)]
            qk = rms_norm(qk, torch.cat(gains).unsqueeze(1), self.query_key_norm)
        if rotation is not None:
            qk = rotate(qk, rotation)
            v = v.contiguous()  # else backward keeps the queries and keys before rotation as well
        q, k = qk.split([self.heads, groups], dim=1)
        if cache is not None:
            k, v = cache.extended(k, v)
        y = attend(
            q,
            k,
            v,
            allowed,
            self.causal and q.shape[2] > 1,
            self.dropout * self.training,
            self.scale,
        )
        return self.output(y.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention of a decoder's tokens to a context (arXiv 1706.03762, section 3.2.3).

    The context is what an encoder gives for its tokens. Arguments, heads and initialisation are
    those of Attention, without rotation and query-key norm.

    Parameters: (width + bias) (heads + 2 key_value_heads) head_width
        + (heads head_width + bias) width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        key_value_heads: int | None = None,
        head_width: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        scale: float | None = None,
    ):
        super().__init__()
        self.heads, self.key_value_heads, self.head_width = head_sizes(
            width, heads, key_value_heads, head_width
        )
        self.dropout = dropout
        self.scale = scale
        self.query = nn.Linear(width, self.heads * self.head_width, bias)
        self.key_value = nn.Linear(width, 2 * self.key_value_heads * self.head_width, bias)
        self.output = nn.Linear(self.heads * self.head_width, width, bias)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        cache: KeyValues | None = None,
    ) -> Tensor:
        """x: (batch, length, width). Returns the same shape.

        context: (batch, context length, width). mask: (batch, context length) bool, True is a real
        token; None when all are. cache: holds the context's keys and values after the first call,
        whose context is not read again.
        """
        check_mask(mask, context)
        q = self.query(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        if cache is not None and cache.keys is not None and cache.values is not None:
            k, v = cache.keys[:, :, : cache.length], cache.values[:, :, : cache.length]
        else:
            kv = self.key_value(context).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            k, v = kv.chunk(2, dim=1)
            if cache is not None:
                k, v = cache.extended(k, v)
        allowed = None if mask is None else mask[:, None, None, :]
        y = attend(q, k, v, allowed, False, self.dropout * self.training, self.scale)
        return self.output(y.transpose(1, 2).flatten(2))


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Tensor | None,
    causal: bool,
    dropout: float,
    scale: float | None,
) -> Tensor:
    """softmax(scale q k^T) v (arXiv 1706.03762, equation 1; None for 1 / sqrt(head width)).

    q: (batch, heads, length, head width). k, v: (batch, key-value heads, keys, head width).
    allowed: (batch or 1, 1, length or 1, keys) bool, True where a query sees a key; None for
        causal, which then needs as many keys as queries, or all.
    Returns the shape and dtype of q; 0 for a query that sees no key.
    """
    grouped = k.shape[1] != q.shape[1]
    if grouped and allowed is not None:  # torch has no fast kernel for both
        groups = q.shape[1] // k.shape[1]
        k, v = (each.repeat_interleave(groups, dim=1) for each in (k, v))
        grouped = False
    return functional.scaled_dot_product_attention(
        *(q, k, v, allowed, dropout, causal and allowed is None), scale=scale, enable_gqa=grouped
    )


def allowed_keys(x: Tensor, mask: Tensor | None, causal: bool, past: int) -> Tensor | None:
    """Which keys each query sees: (batch or 1, 1, length or 1, past + length) bool.

    None where no mask is needed: all keys, or the causal ones when past is 0. torch's `is_causal`
    starts at the top left when there are more keys than queries, so a chunk after others needs a
    mask.

    x: (batch, length, ...), the queries. mask: (batch, past + length) or None. past: keys before x.
    Raises ValueError when the mask has another shape or is not bool.
    """
    length = x.shape[1]
    check_mask(mask, x, past)
    real = None if mask is None else mask[:, None, None, :]
    if not causal or length == 1 or (mask is None and not past):
        return real
    order = torch.ones(length, past + length, dtype=torch.bool, device=x.device).tril(past)
    return order if real is None else order & real


def head_sizes(
    width: int, heads: int, key_value_heads: int | None = None, head_width: int | None = None
) -> tuple[int, int, int]:
    """Heads, key-value heads and features of a head, the defaults filled in.

    Raises ValueError unless heads divide the width (with no head_width), and key-value heads the
    heads, and for a head_width below 1.
    """
    if head_width is not None and head_width < 1:
        raise ValueError(f"head_width must be 1 or more, got {head_width}")
    if heads < 1 or (head_width is None and width % heads):
        raise ValueError(f"heads must divide the width: {heads} heads, width {width}")
    groups = heads if key_value_heads is None else key_value_heads
    if groups < 1 or heads % groups:
        raise ValueError(f"key_value_heads must divide the heads: {groups} of {heads} heads")
    return heads, groups, width // heads if head_width is None else head_width
