"""The exceptions that users meet: where something is wrong, what is wrong, and how to fix it."""

from collections.abc import Sequence


class PrunegridError(Exception):
    """Bad input or a bad environment, shown as one line `where: what; fix`, with exit code 1 and no traceback.

    `where` is the file, row, config key or program; `what` is wrong there, with the offending value; `fix` is what the
    user can do about it.
    """

    def __init__(self, where: object, what: str, fix: str = "") -> None:
        super().__init__(where, what, fix)
        self.where, self.what, self.fix = str(where), what, fix

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"; {self.fix}" if self.fix else "")


class PrunegridErrors(PrunegridError):
    """Several errors of one input, shown as one line each."""

    def __init__(self, errors: Sequence[PrunegridError]) -> None:
        Exception.__init__(self, errors)
        self.errors = list(errors)
        self.where, self.what, self.fix = self.errors[0].where, self.errors[0].what, self.errors[0].fix

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def first_line(error: BaseException) -> str:
    """The first line of a library's error message, which may be a page long."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
