"""The signals that ask a training job to stop: its launcher forwards them, its ranks save a checkpoint and end."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Forwarder:
    """Sends the first stop signal that this process receives to the process that runs the ranks.

    Later signals are only noted: a second one would make torchrun abandon its ranks. `sent_as` replaces the signal's
    number where the child must not receive it as it is.
    """

    def __init__(self, sent_as: signal.Signals | None = None) -> None:
        self.sent_as = sent_as
        self.received: list[int] = []
        self.child: subprocess.Popen[bytes] | None = None
        self.forwarded = False

    def attach(self, child: subprocess.Popen[bytes]) -> None:
        """Forward signals to `child` from now on, including one that has already arrived."""
        self.child = child
        self._forward()

    def handle(self, number: int, _: Any) -> None:
        self.received.append(number)
        self._forward()

    def _forward(self) -> None:
        if self.received and self.child and not self.forwarded:
            self.forwarded = True
            self.child.send_signal(self.sent_as or self.received[0])


@contextmanager
def forwarding(sent_as: signal.Signals | None = None) -> Iterator[Forwarder]:
    """Handle stop signals in the block. Only the main thread can: in another one they are left to the caller."""
    forwarder = Forwarder(sent_as)
    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = STOP_SIGNALS if in_main_thread else ()
    previous = {number: signal.signal(number, forwarder.handle) for number in numbers}
    try:
        yield forwarder
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
