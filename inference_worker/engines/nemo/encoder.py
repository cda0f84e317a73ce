"""One step of NeMo's cache-aware Conformer for many streams, with its weights and its results.

What NeMo does again in every step is done once here: keys and values of the past are kept instead of its
features, so nothing of it is projected twice; positions are projected when the model is loaded; and a slot's
memory is written in place, as a ring, instead of being copied to make room.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inference_worker.engines.nemo.front import Front
from inference_worker.engines.nemo.writes import Writes

NEVER = -10_000.0  # as NeMo masks


class Encoder:
    """For `slots` streams, of which any may be in a step. `right` is the look-ahead in frames."""

    def __init__(self, encoder: Any, slots: int, left: int, right: int) -> None:
        self.chunk, self.ring = right + 1, left + right + 1
        reference = encoder.layers[0].norm_out.weight
        self._front = Front(encoder.pre_encode, encoder._feat_in, slots)
        self._scale = encoder.xscale or 1.0
        positions = _positions(encoder.pos_enc.pe, self.chunk, self.ring)
        self._layers = [_Layer(layer, positions, slots, self.ring, reference) for layer in encoder.layers]
        self._steps = torch.zeros(slots, dtype=torch.long, device=reference.device)
        device = reference.device
        # For each phase of the ring, where in the order of time an entry of it stands.
        phases = self.ring // self.chunk
        entries = torch.arange(self.ring, device=device)[None]
        written = torch.arange(phases, device=device)[:, None] * self.chunk
        self._order = (entries - written - self.chunk) % self.ring
        self._ours = written + torch.arange(self.chunk, device=device)
        self._entries = entries
        self._heads = encoder.layers[0].self_attn.h
        self._head = torch.arange(self._heads, device=device)

    def open(self, slots: Tensor) -> None:
        self._steps[slots] = 0
        self._front.open(slots)
        for layer in self._layers:
            layer.open(slots)

    def step(self, writes: Writes, mel: Tensor, frames: Tensor | None = None) -> Tensor:
        """Mel [B, 8 C, M] to encoded [B, C, D]; `frames` as in `Front.step`."""
        slots = writes.slots
        steps = self._steps.index_select(0, slots)
        writes.later(self._steps, steps + 1)
        phase = steps % self._order.shape[0]
        order = self._order[phase]
        heard = self._entries < ((steps + 1) * self.chunk)[:, None]
        x = self._front.step(writes, mel, frames) * self._scale
        padded = None
        if frames is not None:
            lengths = -(-frames // (mel.shape[1] // self.chunk))
            padded = torch.arange(self.chunk, device=x.device) >= lengths[:, None]
            ours = self._ours[phase]
            heard = heard.scatter(1, ours, ~padded & heard.gather(1, ours))
        mask = torch.where(heard, 0.0, NEVER).to(x.dtype)[:, None, None]
        # Where the keys and values of this chunk go: [B, H, C] of all entries, with the arena as one list.
        heads = (slots[:, None] * self._heads + self._head)[..., None]
        at = (heads * self.ring + self._ours[phase][:, None]).flatten()
        for layer in self._layers:
            x = layer.step(x, writes, at, order, mask, padded)
        return x


class _Layer:
    def __init__(self, layer: Any, positions: Tensor, slots: int, ring: int, reference: Tensor) -> None:
        self._layer, attention = layer, layer.self_attn
        self._heads, self._width = attention.h, attention.d_k
        size = self._heads * self._width
        empty = {"dtype": reference.dtype, "device": reference.device}
        self._keys = torch.zeros(slots, self._heads, ring, self._width, **empty)
        self._values = torch.zeros_like(self._keys)
        conv = layer.conv.depthwise_conv
        self._past = torch.zeros(slots, conv.kernel_size[0] - 1, size, **empty)
        with torch.inference_mode():
            parts = (attention.linear_q, attention.linear_k, attention.linear_v)
            self._qkv = torch.cat([part.weight for part in parts])
            self._qkv_bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
            chunk, length, _ = positions.shape
            projected = attention.linear_pos(positions).view(chunk, length, self._heads, self._width)
            self._positions = projected.permute(2, 0, 3, 1).contiguous()  # [H, C, d, R]
            self._u, self._v = attention.pos_bias_u.detach(), attention.pos_bias_v.detach()
            self._kernel = conv.weight.squeeze(1).t().contiguous()  # [k, D]
            self._conv_bias = conv.bias
            self._in, self._in_bias = (
                layer.conv.pointwise_conv1.weight.squeeze(-1),
                layer.conv.pointwise_conv1.bias,
            )
            self._out, self._out_bias = (
                layer.conv.pointwise_conv2.weight.squeeze(-1),
                layer.conv.pointwise_conv2.bias,
            )

    def open(self, slots: Tensor) -> None:
        # What has not been written is masked, but a NaN gets through a mask, and would to every later stream.
        for kept in (self._keys, self._values, self._past):
            kept.index_fill_(0, slots, 0)

    def step(
        self, x: Tensor, writes: Writes, at: Tensor, order: Tensor, mask: Tensor, padded: Tensor | None
    ) -> Tensor:
        layer = self._layer
        x = x + 0.5 * layer.feed_forward1(layer.norm_feed_forward1(x))
        x = x + self._attend(layer.norm_self_att(x), writes.slots, at, order, mask)
        x = x + self._convolve(layer.norm_conv(x), writes, padded)
        x = x + 0.5 * layer.feed_forward2(layer.norm_feed_forward2(x))
        return layer.norm_out(x)

    def _attend(self, x: Tensor, slots: Tensor, at: Tensor, order: Tensor, mask: Tensor) -> Tensor:
        batch, chunk, size = x.shape
        shape = (batch, chunk, self._heads, self._width)
        q, k, v = (part.view(shape) for part in F.linear(x, self._qkv, self._qkv_bias).chunk(3, -1))
        for kept, new in ((self._keys, k), (self._values, v)):
            # Written at once, not at the commit: over the oldest chunk, which nothing attends to any more.
            # The slot's next step writes before it reads, and a step done again writes the same again.
            kept.view(-1, self._width).index_copy_(0, at, new.transpose(1, 2).reshape(-1, self._width))
        keys, values = (kept.index_select(0, slots).flatten(0, 1) for kept in (self._keys, self._values))
        by_position = torch.einsum("bchd,hcdr->bhcr", q + self._v, self._positions)
        by_position = by_position.gather(-1, order[:, None, None].expand_as(by_position))
        scale = 1 / math.sqrt(self._width)
        bias = by_position.mul_(scale).add_(mask).flatten(0, 1)
        by_content = (q + self._u).transpose(1, 2).flatten(0, 1)
        weights = torch.baddbmm(bias, by_content, keys.transpose(1, 2), alpha=scale).softmax(-1)
        out = torch.bmm(weights, values).view(batch, self._heads, chunk, self._width)
        return self._layer.self_attn.linear_out(out.transpose(1, 2).reshape(batch, chunk, size))

    def _convolve(self, x: Tensor, writes: Writes, padded: Tensor | None) -> Tensor:
        conv = self._layer.conv
        x = F.glu(F.linear(x, self._in, self._in_bias), -1)
        if padded is not None:
            x = x.masked_fill(padded[..., None], 0.0)
        x = torch.cat([self._past.index_select(0, writes.slots), x], 1)
        writes.later(self._past, x[:, -self._past.shape[1] :])
        x = (x.unfold(1, self._kernel.shape[0], 1) * self._kernel.t()).sum(-1)
        if self._conv_bias is not None:
            x = x + self._conv_bias
        if conv.norm_type == "layer_norm":
            x = conv.batch_norm(x)
        else:
            x = conv.batch_norm(x.transpose(1, 2)).transpose(1, 2)
        return F.linear(F.silu(x), self._out, self._out_bias)


def _positions(encodings: Tensor, chunk: int, ring: int) -> Tensor:
    """[C, R, D]: for each frame of a chunk, how each entry of the ring lies to it, in the order of time."""
    centre = encodings.shape[1] // 2  # how it lies to itself; what was before it has lower indices
    frame = ring - chunk + torch.arange(chunk)[:, None]
    return encodings[0, centre - (frame - torch.arange(ring)[None])]
