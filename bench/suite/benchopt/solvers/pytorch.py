"""PyTorch as its tutorials train: a DataLoader and the plain loop."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from benchopt import BaseSolver


class Solver(BaseSolver):  # type: ignore[misc]
    name = "PyTorch"
    parameters: ClassVar[dict[str, list[Any]]] = {"learning_rate": [0.002], "batch_size": [128], "epochs": [10]}

    def set_objective(self, noisy: Any, clean: Any, test: Any, architecture: str, latent: int) -> None:
        import torch
        from torch import nn
        from torch.utils.data import DataLoader, TensorDataset

        torch.manual_seed(0)

        def images(values: Any) -> Any:
            return torch.from_numpy(values.transpose(0, 3, 1, 2).copy())

        self.loader = DataLoader(TensorDataset(images(noisy), images(clean)), batch_size=self.batch_size, shuffle=True)
        self.test = images(test)
        if architecture == "dense":
            sizes = (784, 256, 128, latent, 128, 256, 784)
            inner: list[Any] = [nn.Flatten()]
            for before, after in pairwise(sizes):
                inner += [nn.Linear(before, after), nn.ReLU()]
            inner[-1] = nn.Unflatten(1, (1, 28, 28))
        else:
            up = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}
            inner = [
                *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
                *(nn.Linear(7 * 7 * 32, latent), nn.ReLU(), nn.Linear(latent, 7 * 7 * 32), nn.ReLU()),
                nn.Unflatten(1, (32, 7, 7)),
                *(nn.ConvTranspose2d(32, 32, **up), nn.ReLU(), nn.ConvTranspose2d(32, 16, **up), nn.ReLU()),
                nn.Conv2d(16, 1, 3, padding=1),
            ]
        self.model = nn.Sequential(*inner)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)
        self.loss = nn.BCEWithLogitsLoss()

    def run(self, _: Any) -> None:
        self.model.train()
        for _epoch in range(self.epochs):
            for noisy, clean in self.loader:
                self.optimizer.zero_grad()
                self.loss(self.model(noisy), clean).backward()
                self.optimizer.step()

    def get_result(self) -> dict[str, Any]:
        import torch

        self.model.eval()
        with torch.no_grad():
            denoised = torch.sigmoid(self.model(self.test))
        return {"denoised": denoised.numpy().transpose(0, 2, 3, 1)}
