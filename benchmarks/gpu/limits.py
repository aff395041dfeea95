"""What the hardware allows: operations and bytes a token of a Llama, and the tokens a second that follow from them.

    python benchmarks/gpu/limits.py            # the table of README.md

`ideal` is operations over the matrix rate and nothing else. `eager` models Hugging Face's unfused kernels: matrix
products at EFFICIENCY of the rate, attention at ATTENTION of it, and every elementwise pass at the memory's bandwidth.
A measurement far below `eager` has a cause worth finding; one above it has fused something.
"""

from dataclasses import dataclass

from prunegrid.models.head_chunks import chunk_positions

EFFICIENCY, ATTENTION, HEAD = 0.80, 0.45, 0.50  # of the matrix rate
LOGITS = 40  # bytes moved for a float32 logit that is written and read ten times


@dataclass(frozen=True)
class Card:
    """Operations a second of bf16 matrix products, and bytes a second of a copy, read and written. Default: an H100."""

    peak: float = 798e12
    bandwidth: float = 3.0e12


@dataclass(frozen=True)
class Shape:
    """A Llama; a layer's keys are `kv` wide, and so are its values."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    tied: bool

    @property
    def kv(self) -> int:
        return self.hidden // self.heads * self.kv_heads

    @property
    def body(self) -> int:
        """Weights of the layers' matrices."""
        return self.layers * (2 * self.hidden * (self.hidden + self.kv) + 3 * self.hidden * self.inner)

    @property
    def head(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        return self.body + self.head * (1 if self.tied else 2) + (2 * self.layers + 1) * self.hidden

    def lora(self, rank: int = 8) -> int:
        """Weights of an adapter of all linear layers but the head."""
        h, k, f = self.hidden, self.kv, self.inner
        return self.layers * rank * (2 * (h + h) + 2 * (h + k) + 3 * (h + f))


SHAPES = {
    "7b": Shape(4096, 32, 32, 32, 11008, 32000, False),  # Llama-2-7B
    "1.7b": Shape(2048, 24, 32, 32, 8192, 49152, True),  # SmolLM2-1.7B
    "1b": Shape(2048, 16, 32, 8, 8192, 128256, True),  # Llama-3.2-1B
    "tiny": Shape(64, 2, 4, 2, 128, 300, False),
}


@dataclass(frozen=True)
class Limit:
    """Operations a token (recomputation left out, as MFU does), and tokens a second: `ideal`, and of eager kernels."""

    operations: float
    ideal: float
    eager: float


def attention_operations(s: Shape, context: float) -> float:
    """A token's, that attends to `context` positions on average: scores and values, 2 each."""
    return 4 * s.layers * s.hidden * context


def forward_bytes(s: Shape) -> float:
    """RMSNorm 36 bytes a unit of width, twice; residuals and rotary; SwiGLU 10 a unit of its width; in bf16."""
    return s.layers * (112 * s.hidden + 24 * s.kv + 10 * s.inner)


def lora_bytes(s: Shape) -> float:
    """Of peft's seven adapted matrices a layer: each input is read again, each update scaled and added."""
    h, k, f = s.hidden, s.kv, s.inner
    return s.layers * (2 * (6 * h + f) + 12 * (3 * h + 2 * k + 2 * f))


def scoring(s: Shape, context: float, scored: float, card: Card) -> Limit:
    """`scored` is the share of tokens that go through the head."""
    attention, head = attention_operations(s, context), 2 * s.head * scored
    operations = 2 * s.body + attention + head
    weights = 2 * s.head / chunk_positions("cuda", s.vocabulary)  # read once a chunk
    moved = forward_bytes(s) + scored * (LOGITS * s.vocabulary + weights)
    seconds = _seconds(2 * s.body, attention, moved, card) + head / (HEAD * card.peak)
    return Limit(operations, card.peak / operations, 1 / seconds)


def training(
    s: Shape, context: float, trained: float, card: Card, method: str = "lora", checkpointing: bool = False
) -> Limit:
    """`trained` is the share of forwarded tokens that are learned."""
    times, recomputed = (2 if method == "lora" else 3), (1 if checkpointing else 0)
    attention, head = attention_operations(s, context), 2 * s.head * trained
    adapter = method == "lora"
    operations = times * (2 * s.body + attention + head) + (6 * s.lora() if adapter else 0)
    passed = forward_bytes(s) + (lora_bytes(s) if adapter else 0)
    moved = (3 + recomputed) * passed + 3 * trained * LOGITS * s.vocabulary
    seconds = _seconds((times + recomputed) * 2 * s.body, (3.5 + recomputed) * attention, moved, card)
    return Limit(operations, card.peak / operations, 1 / (seconds + times * head / (HEAD * card.peak)))


def _seconds(matrix: float, attention: float, moved: float, card: Card) -> float:
    return matrix / (EFFICIENCY * card.peak) + attention / (ATTENTION * card.peak) + moved / card.bandwidth


def activations(s: Shape, lora: bool = True) -> float:
    """Bytes a token that autograd keeps of all layers: norms, attention, SwiGLU, and the adapters' inputs."""
    norms = 2 * (4 + 2) * s.hidden
    attention = 2 * (2 * s.hidden + 2 * s.kv) + 2 * s.hidden
    return s.layers * (norms + attention + 2 * 4 * s.inner + (2 * s.hidden if lora else 0))


def memory(s: Shape, method: str, tokens: int, checkpointing: bool) -> float:
    """Peak bytes of a training pass of `tokens` on one GPU: weights, states (float32 master, moments, gradients)."""
    trained = s.lora() if method == "lora" else s.parameters
    kept = activations(s, method == "lora")
    each = 2 * s.hidden * s.layers + kept / s.layers if checkpointing else kept
    return 2 * s.parameters + trained * (2 + 4 + 8 + 4) + tokens * each


@dataclass(frozen=True)
class Decoding:
    """Seconds of a step that reads weights, keys and values once, and the tokens a second of all rows."""

    step: float
    ideal: float


def decoding(s: Shape, rows: int, context: float, card: Card) -> Decoding:
    step = (2 * (s.body + s.head) + rows * context * 4 * s.layers * s.kv) / card.bandwidth
    return Decoding(step, rows / step)


def main() -> None:
    card, context, scored = Card(), 402.0, 0.77  # WizardLM at cut-off 2048
    print("| model | parameters | what | Gop a token | ideal tokens/s | eager tokens/s | MFU | GB at 8,192 |")
    print("|---|---|---|---|---|---|---|---|")
    for name in ("7b", "1.7b", "1b"):
        s = SHAPES[name]
        rows = [("scoring", scoring(s, context, scored, card), 2.0 * s.parameters)]
        for method in ("lora", "full"):
            for recomputed in (False, True):
                label = f"{method}{', checkpointing' if recomputed else ''}"
                rows.append(
                    (label, training(s, context, scored, card, method, recomputed), memory(s, method, 8192, recomputed))
                )
        for label, limit, held in rows:
            print(
                f"| {name} | {s.parameters / 1e9:.2f}e9 | {label} | {limit.operations / 1e9:.1f} | {limit.ideal:,.0f} "
                f"| {limit.eager:,.0f} | {100 * limit.eager / limit.ideal:.0f} % | {held / 1e9:.0f} |"
            )
    for name in ("7b", "1b"):
        for rows_ in (1, 64, 128):
            limit = decoding(SHAPES[name], rows_, 512, card)
            print(f"{name}, {rows_} rows of 512: {1e3 * limit.step:.1f} ms a step, {limit.ideal:,.0f} tokens/s")


if __name__ == "__main__":
    main()
