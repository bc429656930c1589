"""Writes a tiny model for Ollama as GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): a BERT that embeds.

Two layers of 64 numbers, seeded random weights, and a vocabulary of letters and a few words: 450 KB. What it says of meaning is
nothing, but it is a real model to Ollama, which loads and runs it.
"""

from __future__ import annotations

import string
import struct
from pathlib import Path
from typing import Any

import numpy as np

DIM, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 512
BEGINS_WORD = "\u2581"
WORDS = (
    "alpha", "beta", "gamma", "delta", "river", "stone", "cloud", "light", "north", "south", "red", "blue",
    "green", "table", "book", "paper", "music", "garden", "city", "house", "water", "fire", "wind", "earth",
    "cat", "dog", "bird", "fish", "tree", "leaf", "road", "bridge", "lamp", "door", "key", "clock", "ship",
    "star", "moon", "sun",
)  # fmt: skip
NORMAL, CONTROL = 1, 3  # of tokens
ALIGNMENT = 32
F32 = 0  # of tensors
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


def write_bert(path: Path, seed: int = 2) -> None:
    """The model, at ``path``."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    chars = string.digits + string.ascii_lowercase + string.punctuation
    tokens = [*special, *(BEGINS_WORD + char for char in chars), *chars, *(BEGINS_WORD + word for word in WORDS)]
    facts: dict[str, tuple[int, Any]] = {
        "general.architecture": (_STRING, "bert"),
        "general.name": (_STRING, "tiny-bert"),
        "general.file_type": (_UINT32, 0),
        "bert.context_length": (_UINT32, CONTEXT),
        "bert.embedding_length": (_UINT32, DIM),
        "bert.block_count": (_UINT32, LAYERS),
        "bert.feed_forward_length": (_UINT32, INNER),
        "bert.attention.head_count": (_UINT32, HEADS),
        "bert.attention.layer_norm_epsilon": (_FLOAT32, 1e-12),
        "bert.attention.causal": (_BOOL, False),
        "bert.pooling_type": (_UINT32, 1),  # the mean
        "tokenizer.ggml.model": (_STRING, "bert"),
        "tokenizer.ggml.token_type_count": (_UINT32, 2),
        "tokenizer.ggml.tokens": (_ARRAY, (_STRING, tokens)),
        "tokenizer.ggml.token_type": (
            _ARRAY,
            (_INT32, [CONTROL] * len(special) + [NORMAL] * (len(tokens) - len(special))),
        ),
        "tokenizer.ggml.scores": (_ARRAY, (_FLOAT32, [0.0] * len(tokens))),
        "tokenizer.ggml.bos_token_id": (_UINT32, 2),
        "tokenizer.ggml.eos_token_id": (_UINT32, 3),
        "tokenizer.ggml.unknown_token_id": (_UINT32, 1),
        "tokenizer.ggml.seperator_token_id": (_UINT32, 3),  # so it is spelt there
        "tokenizer.ggml.padding_token_id": (_UINT32, 0),
        "tokenizer.ggml.mask_token_id": (_UINT32, 4),
    }
    tensors = _tensors(np.random.default_rng(seed), len(tokens))
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(facts))
    head += b"".join(_text(name) + _typed(kind, value) for name, (kind, value) in facts.items())
    body = b""
    for name, array in tensors.items():
        shape = array.shape[::-1]  # the fastest first
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, F32, len(body))
        body += _padded(array.astype("<f4").tobytes())
    path.write_bytes(_padded(head) + body)


def _tensors(rng: np.random.Generator, vocabulary: int) -> dict[str, Any]:
    def random(*shape: int, spread: float = 0.02) -> Any:
        return rng.standard_normal(shape) * spread

    made: dict[str, Any] = {
        "token_embd.weight": random(vocabulary, DIM, spread=1.0),
        "token_types.weight": np.zeros((2, DIM)),
        "position_embd.weight": random(CONTEXT, DIM, spread=0.05),
    }

    def normal(name: str) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = np.ones(DIM), np.zeros(DIM)

    def linear(name: str, out: int, into: int) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = random(out, into), np.zeros(out)

    normal("token_embd_norm")
    for layer in (f"blk.{number}" for number in range(LAYERS)):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            linear(f"{layer}.{part}", DIM, DIM)
        normal(f"{layer}.attn_output_norm")
        linear(f"{layer}.ffn_up", INNER, DIM)
        linear(f"{layer}.ffn_down", DIM, INNER)
        normal(f"{layer}.layer_output_norm")
    return made


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _typed(kind: int, value: Any) -> bytes:
    return struct.pack("<I", kind) + _value(kind, value)


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        of, items = value
        return struct.pack("<IQ", of, len(items)) + b"".join(_value(of, item) for item in items)
    return struct.pack({_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f", _BOOL: "<?"}[kind], value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
