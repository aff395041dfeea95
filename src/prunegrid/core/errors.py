"""The one exception that users meet: its message says what is wrong, where, and what to do."""


class PrunegridError(Exception):
    """Bad input or a bad environment; shown as one line, exit code 1, no traceback."""


def reason(error: BaseException) -> str:
    """The first line of what another library says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
