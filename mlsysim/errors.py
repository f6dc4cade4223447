"""What can go wrong, said so that a person at a cell can act on it.

Every deliberate refusal is an `MlsysError`; its text names the argument, what was
given and what is legal.  Anything else that escapes is a programming error.
"""


class MlsysError(ValueError):
    """Root of every error that this package raises on purpose."""


class OutOfDomain(MlsysError):
    """A number lies outside what its quantity allows, or is no number at all."""


class UnknownName(MlsysError, KeyError):
    """No registry row, precision, metric, option or unit of that name."""

    __str__ = ValueError.__str__  # KeyError would print the repr


class MissingFact(MlsysError):
    """The thing exists, but nobody has published the fact that was asked for."""


class WrongArguments(MlsysError, TypeError):
    """A call lacks an argument, has one too many, or combines arguments that exclude each other."""
