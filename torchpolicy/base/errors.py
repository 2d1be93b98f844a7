"""The errors of the package that a caller may want to catch; each says in a line what is wrong, and where."""


class RunError(RuntimeError):
    """A run that cannot go on, as when the environment fails under most candidates."""


class CheckpointError(ValueError):
    """A file that cannot be read as what it should be; names the file and the reason."""


class CodeError(ValueError):
    """Code of the user's own raised an exception, or returned what it should not."""
