"""What answers in Ollama's place: JSON of whatever kind, in which vectors are looked for."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from mycelnode.adapters.ollama import MAX_LIST_BYTES, read_answer, read_vectors
from mycelnode.errors import EmbedderUnavailable
from tests.fuzz.guard import Broken, Target

COUNT = 2


def _vectors(data: bytes) -> None:
    """What is taken for vectors is an array of them."""
    answer = read_answer(data, "there")
    vectors = read_vectors(answer.get("embeddings"), COUNT, None, "there")
    if len(vectors) != COUNT or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise Broken(f"embeddings: {data.hex()} is taken for vectors")


def _answers() -> Sequence[bytes]:
    return [
        json.dumps({"model": "all-minilm", "embeddings": made, "total_duration": 1}).encode()
        for made in ([[0.25] * 8, [-1e-3, 2, 3.5, 0, 1, 1e5, 7, 8]], [[1.0], [1.0]], [[1, 2], [0, -1]])
    ]


EMBEDDERS = (Target("embeddings", _vectors, (EmbedderUnavailable,), _answers, largest=MAX_LIST_BYTES),)
