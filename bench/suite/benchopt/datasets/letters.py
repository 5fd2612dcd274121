"""The letters of `quick` with its noise, from this suite: the same pixels on both sides."""

from __future__ import annotations

from typing import Any, ClassVar

from benchopt import BaseDataset


class Dataset(BaseDataset):  # type: ignore[misc]
    name = "Letters"
    parameters: ClassVar[dict[str, list[Any]]] = {
        "corruption": ["gaussian(0.6)", "gaussian(0.4)", "salt_pepper(0.4)", "salt_pepper(0.2)"],
        "train": [4551],
        "test": [256],
    }

    def get_data(self) -> dict[str, Any]:
        from bench import corruption, datasets

        data = datasets.load("glyphs", train=self.train, test=self.test, val=None)
        train, test = datasets.as_float(data.train), datasets.as_float(data.test)
        return {
            "train": train,
            "noisy_train": corruption.corrupt(train, self.corruption, seed=0, split="train"),
            "test": test,
            "noisy_test": corruption.corrupt(test, self.corruption, seed=0, split="test"),
        }
