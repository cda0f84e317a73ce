"""What PyTorch's allocator says of the GPU's memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from inference_worker.engines.base import Memory


def read() -> Memory | None:
    """None without a GPU, or before anything was put there."""
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return of(torch.cuda.memory_stats())


def of(stats: Mapping[str, int]) -> Memory:
    return Memory(
        allocated=stats.get("allocated_bytes.all.current", 0),
        reserved=stats.get("reserved_bytes.all.current", 0),
        peak=stats.get("allocated_bytes.all.peak", 0),
        retries=stats.get("num_alloc_retries", 0),
        out_of_memory=stats.get("num_ooms", 0),
    )
