"""Progress of a pass over tokens: a bar on a terminal, otherwise an occasional line in the log.

tqdm alone does not suit a log: it separates its updates by carriage returns, so the log's last line would be all of
them.
"""

import sys
import time

from tqdm import tqdm

SECONDS = 30.0


class Progress:
    """`add` counts the tokens done of `total`; a log gets at most one line every `SECONDS`, and one at the end.

    Of a pass that goes on, `done` tokens were done before: they do not count in the rate.
    """

    def __init__(self, total: int, title: str, done: int = 0) -> None:
        self.total, self.title, self.done, self.earlier = total, title, done, done
        self.start = self.last_print = time.monotonic()
        terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, desc=title, unit=" tokens", unit_scale=True) if terminal else None

    def add(self, tokens: int) -> None:
        self.done += tokens
        if self.bar is not None:
            self.bar.update(tokens)
        elif self.done >= self.total or time.monotonic() - self.last_print >= SECONDS:
            self.last_print = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)
        if self.bar is not None and self.done >= self.total:
            self.bar.close()

    def rename(self, title: str) -> None:
        self.title = title
        if self.bar is not None:
            self.bar.set_description(title)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def line(self) -> str:
        rate = (self.done - self.earlier) / max(self.seconds, 1e-9)
        remaining = tqdm.format_interval((self.total - self.done) / max(rate, 1e-9))
        share = self.done / max(self.total, 1)
        counts = f"{self.done:,} of {self.total:,} tokens ({share:.0%})"
        return f"{self.title}: {counts}, {rate:,.0f} tokens/s, {remaining} left"
