"""One flat vector over the trainable parameters of any module."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Slices(dict[str, slice]):
    """Where each tensor lies in a vector, by name, in their order.

    Args:
        shapes: The shape of each tensor, by name.

    Attributes:
        shapes: The shape of each tensor, by name.
        dim: D, the length of the vector.
    """

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.dim = 0
        for name, shape in shapes.items():
            self[name] = slice(self.dim, self.dim + shape.numel())
            self.dim += shape.numel()


class ParamVector:
    """The trainable parameters of a module, shown as one flat vector (D,).

    Entries follow ``module.named_parameters()``. Tied weights appear once; frozen parameters and
    buffers are left alone. Which parameters are trainable is settled here, once.

    Example::

        vector = ParamVector(module)
        vector.write(vector.read() + 0.1 * torch.randn(vector.dim))

    Args:
        module: Any module with at least one trainable parameter. Its trainable parameters share
            one real dtype and one device.

    Attributes:
        dim: D, the number of trainable scalars.
        slices: Where each parameter lies in the vector, by name; with their shapes.
        shapes: The shape of each parameter, by name.
        dtype: The dtype of the parameters and of the vector.
        device: The device of the parameters and of the vector.

    Raises:
        ValueError: If nothing is trainable, a parameter is complex, or dtypes or devices are mixed.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise ValueError(f"{type(module).__name__} has no trainable parameters to search")
        for name, parameter in self.parameters.items():
            if parameter.is_complex():
                raise ValueError(f"parameter {name!r} is {parameter.dtype}: only real ones are supported")
        kinds = {(p.dtype, p.device) for p in self.parameters.values()}
        if len(kinds) > 1:
            found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise ValueError(f"trainable parameters must share one dtype and device, found {found}")
        ((self.dtype, self.device),) = kinds
        self.slices = Slices({name: p.shape for name, p in self.parameters.items()})
        self.shapes, self.dim = self.slices.shapes, self.slices.dim

    def read(self) -> Tensor:
        """The module's present weights, copied: (D,)."""
        return self.flatten({name: p.detach() for name, p in self.parameters.items()})

    @torch.no_grad()
    def write(self, vector: Tensor) -> None:
        """Set the module's weights in place from `vector` (D,).

        Raises:
            ValueError: If it has another shape.
        """
        if vector.shape != (self.dim,):
            raise ValueError(f"expected a vector of shape ({self.dim},), got {tuple(vector.shape)}")
        for name, value in self.unflatten(vector).items():
            self.parameters[name].copy_(value)

    def unflatten(self, vectors: Tensor) -> dict[str, Tensor]:
        """Split vectors (*B, D) into views {name: (*B, *shape)}, for any batch dimensions B.

        Raises:
            ValueError: If the vectors have another length.
        """
        if vectors.ndim == 0 or vectors.shape[-1] != self.dim:
            raise ValueError(f"expected vectors of shape (*B, {self.dim}), got {tuple(vectors.shape)}")
        batch = vectors.shape[:-1]
        return {name: vectors[..., where].view(batch + self.shapes[name]) for name, where in self.slices.items()}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Join {name: (*B, *shape)} into vectors (*B, D); the inverse of :meth:`unflatten`.

        Raises:
            ValueError: If a parameter is missing or unknown, or has another shape.
        """
        if tensors.keys() != self.slices.keys():
            odd = sorted(tensors.keys() ^ self.slices.keys())
            raise ValueError(f"expected the parameters {sorted(self.slices)}; missing or unknown: {odd}")
        rows = []
        for name, shape in self.shapes.items():
            tensor = tensors[name]
            batch = tensor.shape[: tensor.ndim - len(shape)]
            if tensor.shape != batch + shape:
                raise ValueError(f"{name!r} should end in shape {tuple(shape)}, got {tuple(tensor.shape)}")
            rows.append(tensor.reshape(*batch, shape.numel()))
        return torch.cat(rows, dim=-1)

    def initial_scale(self) -> Tensor:
        """A natural size of each weight, (D,): 1/sqrt(fan_in), the half-width that ``nn.Linear`` draws from.

        A search that starts with this std moves every layer by about its initial size, where one
        number for all would saturate a wide layer and leave a narrow one still. A bias takes the
        scale of the weight beside it; vectors without one (such as a LayerNorm's) take 0.1.
        """
        fan_in = {name: shape[1:].numel() for name, shape in self.shapes.items() if len(shape) >= 2}
        beside = {name.rpartition(".")[0]: size for name, size in fan_in.items()}
        scale = torch.empty(self.dim, dtype=self.dtype, device=self.device)
        for name, where in self.slices.items():
            size = fan_in.get(name) or beside.get(name.rpartition(".")[0]) or 100
            scale[where] = size**-0.5
        return scale
