"""MiniLM in numpy: it makes the vectors that the model makes elsewhere, and takes no other files for it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.adapters import minilm
from mycelnode.adapters.minilm import MiniLm, gelu, read_safetensors, split_words
from mycelnode.errors import EmbedderUnavailable
from tests.needs import need_minilm
from tests.patterns.labelled import reading


@pytest.fixture(scope="module")
def model() -> Iterator[MiniLm]:
    with pytest.MonkeyPatch.context() as patch:
        yield MiniLm.load(need_minilm(patch))


def test_it_makes_the_vectors_that_are_committed(model: MiniLm) -> None:
    made, committed = model.embed(reading.texts()[::5]), reading.committed()[::5]
    assert made.dtype == np.float32
    assert made.shape[1] == model.dim
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert float((made * committed).sum(axis=1).min()) >= 0.9999


def test_it_agrees_with_the_model_under_torch(model: MiniLm) -> None:
    """The figures of https://gist.github.com/Spartee/52d91a87571f37e5b34555c1db987f5f, by sentence-transformers."""
    happy, *others = model.embed(
        ["That is a happy person", "That is a very happy person", "That is a happy dog", "Today is a sunny day"]
    )
    assert [float(happy @ other) for other in others] == pytest.approx([0.94291496, 0.69457746, 0.25687605], abs=1e-5)


def test_it_reads_any_text_and_no_more_than_it_can(model: MiniLm) -> None:
    for text in ("", "\x00", "x" * 100_000, "word " * 5_000, "日本語", "👩‍👩‍👧", "\ud800"):
        assert len(model.tokens(text)) <= 256
        assert np.isfinite(model.embed([text])).all()
    assert model.tokens("word") == [101, 2773, 102], "[CLS] word [SEP]"
    assert model.embed([]).shape == (0, 384)
    assert minilm.PACKAGE not in sys.modules, "found, and never imported"


def test_files_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match="cannot be read"):
        MiniLm.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(EmbedderUnavailable, match="is not the file"):
        MiniLm.load(tmp_path)


def test_a_package_without_a_model_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_of_ours")
    assert minilm.find() is None
    monkeypatch.setattr(minilm, "PACKAGE", "a_package_without_a_model")
    (tmp_path / "a_package_without_a_model.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert minilm.find() is None


def safetensors(header: object, body: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def test_arrays_are_read() -> None:
    data = np.arange(6, dtype="<f4")
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "ids": {"dtype": "I64", "shape": [3], "data_offsets": [0, 24]},
    }
    read = read_safetensors(safetensors(header, data.tobytes()))
    assert list(read) == ["a"]
    assert np.array_equal(read["a"], data.reshape(2, 3))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff" * 8, safetensors([]), safetensors({"a": 1}), safetensors({"a": {"dtype": "F32"}}),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
        safetensors({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, b"1234"),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"),
        safetensors({"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}, b"1234"),
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
)  # fmt: skip
def test_no_array_is_read_from_what_has_none(data: bytes) -> None:
    with pytest.raises(EmbedderUnavailable):
        read_safetensors(data)


@given(st.floats(-30, 30, width=32))
def test_gelu_is_that_of_the_definition(x: float) -> None:
    exact = x * (1 + math.erf(x / math.sqrt(2))) / 2
    assert float(gelu(np.array([x], np.float32))[0]) == pytest.approx(exact, abs=2e-5, rel=2e-6)


def test_words_are_split_as_bert_splits_them() -> None:
    assert list(split_words("Größe, don't!  a\tb\u0000c 日本x")) == [
        "große", ",", "don", "'", "t", "!", "a", "bc", "日", "本", "x",
    ]  # fmt: skip
    assert list(split_words("")) == []


@given(st.text(max_size=200))
def test_words_have_no_spaces(text: str) -> None:
    assert all(word and not any(char.isspace() for char in word) for word in split_words(text))
