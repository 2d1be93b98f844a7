"""Errors that a caller may want to catch; their messages say in one line what is wrong and where."""


class RunError(RuntimeError):
    """A run cannot go on, for example because most candidates' episodes fail."""


class CheckpointError(ValueError):
    """A file of a run is missing, damaged, or not what it should be; the message names the file and the reason."""


class CodeError(ValueError):
    """The user's own code raised an exception, or returned something that it should not."""
