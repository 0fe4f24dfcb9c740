"""What the speech and the text tower share: freezing."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


class Tower(nn.Module):
    """An encoder that can be frozen; a frozen one stays in eval mode whatever `train()` asks.

    Dropout in a frozen encoder would make its vectors differ from pass to pass, so that they
    could not be cached.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen = False

    @property
    def frozen(self) -> bool:
        return self._frozen

    def set_frozen(self, frozen: bool) -> None:
        """Freeze (no gradients, eval mode) or unfreeze (mode follows `train()` from then on)."""
        self._frozen = frozen
        never = {id(parameter) for parameter in self._never_trained()}
        for parameter in self.parameters():
            parameter.requires_grad_(not frozen and id(parameter) not in never)
        if frozen:
            self.eval()

    def train(self, mode: bool = True) -> Tower:
        super().train(mode and not self._frozen)
        return self

    def trainable(self) -> list[nn.Parameter]:
        """The parameters that are trained once the tower is unfrozen."""
        never = {id(parameter) for parameter in self._never_trained()}
        return [parameter for parameter in self.parameters() if id(parameter) not in never]

    def _never_trained(self) -> Iterator[nn.Parameter]:
        """Parameters that the output does not depend on, or that are held on purpose."""
        yield from ()
