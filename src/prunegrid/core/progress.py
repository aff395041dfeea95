"""How far a pass over tokens is: a bar on a terminal, elsewhere a line in the log now and then."""

import sys
import time

from tqdm import tqdm

SECONDS = 30.0


class Progress:
    """`add` counts tokens done of `total`; a log gets at most a line every `SECONDS`, and one at the end."""

    def __init__(self, total: int, title: str) -> None:
        self.total, self.title, self.done = total, title, 0
        self.started = self.told = time.monotonic()
        terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=title, unit=" tokens", unit_scale=True) if terminal else None

    def add(self, tokens: int) -> None:
        self.done += tokens
        if self.bar is not None:
            self.bar.update(tokens)
        elif self.done >= self.total or time.monotonic() - self.told >= SECONDS:
            self.told = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)
        if self.bar is not None and self.done >= self.total:
            self.bar.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def line(self) -> str:
        rate = self.done / max(self.seconds, 1e-9)
        left = tqdm.format_interval((self.total - self.done) / max(rate, 1e-9))
        share = self.done / max(self.total, 1)
        return f"{self.title}: {self.done:,} of {self.total:,} tokens ({share:.0%}), {rate:,.0f} tokens/s, {left} left"
