"""Matrix products whose bits do not depend on where in memory a matrix lies.

By default, MKL rounds a product differently where its rows do not begin at multiples of 16 bytes. An episode would then
have other last bits in another slot, and so would a run with another number of processes. In MKL's strict mode they
have the same. It reads the variable before its first product, so this file is imported before anything is computed.
"""

import os

import torch

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def note_on_rounding() -> str | None:
    """A line to tell the user if products have other bits in other places; None if they have not."""
    if not _bits_depend_on_place():
        return None
    note = "last bits may depend on the number of processes, because torch rounds products differently by their place"
    if torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        note += ". Import torchpolicy before matrices are multiplied, or set MKL_CBWR=AUTO,STRICT"
    return note


def _bits_depend_on_place() -> bool:
    """True if a product has other bits in other places."""
    generator = torch.Generator().manual_seed(0)
    rows, matrices = (torch.randn(shape, generator=generator).repeat(32, 1, 1) for shape in ((8, 50), (50, 54)))
    products = torch.cat([torch.bmm(rows[:, i : i + 1].contiguous(), matrices) for i in range(8)], 1)
    return not bool((products == products[:1]).all())
