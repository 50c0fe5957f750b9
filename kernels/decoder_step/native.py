"""All layers of a decoder by one call into the C++ library: its operators, without Python and torch between them.

At a small model's size a step's arithmetic takes less time than the calls that ask for it. Knows shapes and addresses; which
weights they are, and what the operators compute, is told and tested elsewhere.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dovetail.kernels.attention.batch import AttentionBatch
from dovetail.kernels.attention.native import FEW_ROWS, AttentionPlan
from dovetail.kernels.cpu.library import instruction_set, library
from dovetail.kernels.decoder_step.layer import Projection, StepLayer, StepShape
from dovetail.kernels.linear.weight import KERNEL_ROWS, Linear, PackedWeight

_P, _L, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


class _Matrix(ctypes.Structure):
    _fields_ = (
        ("words", _P),
        ("params", _P),
        ("bias", _P),
        ("n", _L),
        ("k", _L),
        ("kind", _L),
        ("block", _L),
        ("params_per_panel", _L),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        ("input_norm", _P),
        ("query_norm", _P),
        ("key_norm", _P),
        ("post_attention_norm", _P),
        ("qkv", _Matrix),
        ("output", _Matrix),
        ("gate_up", _Matrix),
        ("down", _Matrix),
        ("window", _L),
        ("angles", _L),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        ("layer_count", _L),
        ("hidden", _L),
        ("heads", _L),
        ("kv_heads", _L),
        ("width", _L),
        ("inner", _L),
        ("eps", _D),
        ("attention_scale", _D),
        ("residual_scale", _D),
        ("tables", _L),
        ("rounded", _L),
        ("final_norm", _P),
        ("head", _Matrix),
    )


class _Batch(ctypes.Structure):
    _fields_ = (
        ("x", _P),
        ("rows", _L),
        ("angles", _P),
        ("positions", _P),
        ("slots", _P),
        ("tables", _P),
        ("table_width", _L),
        ("sequences", _P),
        ("count", _L),
        ("keys", _P),
        ("values", _P),
        ("block_size", _L),
        ("logit_rows", _P),
        ("logit_count", _L),
        ("logits", _P),
        ("threads", _L),
        ("room", _P),
        ("copied_from", _P),
        ("copied_to", _P),
        ("copies", _L),
    )


class DecoderStep:
    """A decoder whose addresses are known. Make one with :meth:`prepare`."""

    def __init__(self, layers: Sequence[StepLayer], shape: StepShape, final_norm: Tensor, head: PackedWeight) -> None:
        self._held = (layers, final_norm, head)  # whose memory the addresses point to
        self._exact = all(layer.qkv.weight.exact for layer in layers)
        self._room = torch.empty(0)
        self._vocabulary = head.shape[0]
        self._caches: tuple[list[Tensor], list[Tensor]] | None = None
        rows = [_layer(layer) for layer in layers]
        self._layers = (_Layer * len(rows))(*rows)
        self._model = _Model(
            self._layers,
            len(rows),
            shape.hidden,
            shape.heads,
            shape.kv_heads,
            shape.width,
            shape.inner,
            shape.eps,
            shape.attention_scale,
            shape.residual_scale,
            shape.tables,
            int(not self._exact),
            final_norm.data_ptr(),
            _matrix(head, None),
        )
        self._width = shape.width

    @classmethod
    def prepare(
        cls, layers: Sequence[StepLayer], shape: StepShape, final_norm: Tensor, head: Linear
    ) -> DecoderStep | None:
        """None where the library is missing or a weight is not packed for it."""
        projections = [p for layer in layers for p in (layer.qkv, layer.output, layer.gate_up, layer.down)]
        packed = all(isinstance(projection.weight, PackedWeight) for projection in projections)
        if library() is None or not layers or not packed or not isinstance(head, PackedWeight):
            return None
        return cls(layers, shape, final_norm, head)

    def covers(self, batch: AttentionBatch, cache: Tensor) -> bool:
        """Whether every operator of this batch has a kernel that is the fastest there is."""
        native = library()
        if native is None or cache.dtype != torch.float32:
            return False
        starts = batch.query_starts
        if starts[-1] > KERNEL_ROWS and (self._exact or instruction_set() != "amx"):
            return False
        if max(end - start for start, end in itertools.pairwise(starts)) <= FEW_ROWS:
            return True
        return not self._exact and bool(native.dovetail_attention_tiles(self._width))

    def run(
        self,
        x: Tensor,
        angles: Sequence[Tensor],
        positions: Tensor,
        slots: Tensor,
        plan: AttentionPlan,
        caches: tuple[list[Tensor], list[Tensor]],
        logit_rows: Tensor,
        copies: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Logits of ``logit_rows``; keys and values go to the caches. Everything is dense, on the CPU, float32 or int64.

        Args:
            x: ``[T, hidden]``: the embedded tokens.
            angles: each ``[more than the last position, width]``: cosines, then sines.
            positions: ``[T]``.
            slots: ``[T]``: where each row's key and value go.
            plan: of a batch that :meth:`covers` said yes to; its window does not matter.
            caches: keys and values of every layer, ``[num_blocks, block_size, kv_heads, width]``.
            logit_rows: ``[R]``.
            copies: slots, as in :func:`copy_slots`, to be copied in every layer once its keys and values are written.
        """
        native = library()
        assert native is not None
        if self._caches is None or self._caches[0] is not caches[0] or self._caches[1] is not caches[1]:
            self._caches = caches
            self._addresses = [(_P * len(each))(*(cache.data_ptr() for cache in each)) for each in caches]
        needed = x.shape[0] * native.dovetail_decoder_step_room(ctypes.byref(self._model))
        if len(self._room) < needed:
            self._room = torch.empty(needed)
        logits = torch.empty((len(logit_rows), self._vocabulary))
        keys, values = self._addresses
        tables = (_P * len(angles))(*(table.data_ptr() for table in angles))
        batch = _Batch(
            x.data_ptr(),
            x.shape[0],
            ctypes.addressof(tables),
            positions.data_ptr(),
            slots.data_ptr(),
            plan.tables.data_ptr(),
            plan.tables.shape[1],
            plan.each.data_ptr(),
            len(plan.each),
            ctypes.addressof(keys),
            ctypes.addressof(values),
            caches[0][0].shape[1],
            logit_rows.data_ptr(),
            len(logit_rows),
            logits.data_ptr(),
            torch.get_num_threads(),
            self._room.data_ptr(),
            copies[0].data_ptr() if copies is not None else None,
            copies[1].data_ptr() if copies is not None else None,
            len(copies[0]) if copies is not None else 0,
        )
        native.dovetail_decoder_step(ctypes.byref(self._model), ctypes.byref(batch))
        return logits


def _layer(layer: StepLayer) -> _Layer:
    def projection(p: Projection) -> _Matrix:
        assert isinstance(p.weight, PackedWeight)
        return _matrix(p.weight, p.bias)

    return _Layer(
        layer.input_norm.data_ptr(),
        layer.query_norm.data_ptr() if layer.query_norm is not None else None,
        layer.key_norm.data_ptr() if layer.key_norm is not None else None,
        layer.post_attention_norm.data_ptr(),
        projection(layer.qkv),
        projection(layer.output),
        projection(layer.gate_up),
        projection(layer.down),
        layer.window or 0,
        layer.angles,
    )


def _matrix(weight: PackedWeight, bias: Tensor | None) -> _Matrix:
    words, params, kind, block, rows, columns, groups = weight.addresses
    return _Matrix(words, params, bias.data_ptr() if bias is not None else None, rows, columns, kind, block, groups)
