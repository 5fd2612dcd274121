"""JAX as an engine: what the backends ``jax`` and ``keras[jax]`` share.  Imports jax inside its functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from implementations.adapter import Device, Setting, without_tf32


def environment(setting: Setting) -> dict[str, str]:
    """What the process needs before jax is imported.

    JAX has no setting for the number of threads on a CPU: it takes the cores that the process may use, which the
    harness limits.
    """
    return {
        "JAX_PLATFORMS": "cpu" if setting.device == "cpu" else setting.device,
        "JAX_ENABLE_X64": "true" if setting.precision == "float64" else "false",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **without_tf32(setting),
    }


def configure(setting: Setting) -> None:
    """Fix the precision."""
    import jax

    jax.config.update("jax_enable_x64", setting.precision == "float64")
    if setting.device == "cuda":
        # By itself JAX multiplies float32 in TF32 where a GPU has it, and kernels that XLA writes itself do not ask
        # NVIDIA's variable.
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if setting.precision == "tf32" else "highest")


def quick_compilation(setting: Setting) -> dict[str, Any]:
    """Arguments for ``jax.jit`` that make XLA compile in half the time on a CPU; none where it does not know them.

    Without its newer emitters of fused loops the step of conv takes 2.3 s to compile in place of 5.5, and the epoch of
    bn 6.6 in place of 15.3; convolutional networks then train as fast (conv 533 and 545 images/s, strided 1,019 and
    988, bn 302 and 294, where two runs of one program differ as much), dense ones 15 % slower.
    """
    return _QUICK if setting.device == "cpu" and _knows_quick() else {}


_QUICK: dict[str, Any] = {"compiler_options": {"xla_cpu_use_fusion_emitters": False}}


@cache
def _knows_quick() -> bool:
    """Options of XLA come and go with its versions: the smallest program is asked."""
    import jax

    try:
        jax.jit(lambda x: x + 1, **_QUICK)(0)
    except Exception:
        return False
    return True


def why_unavailable(device: Device) -> str | None:
    """Why jax can not use ``device`` here, or None."""
    import jax

    try:
        found = jax.devices("gpu" if device == "cuda" else device)
    except (RuntimeError, AssertionError) as error:  # the latter where a driver is there and its device is not
        return f"jax {jax.__version__} has no {device} device: {(str(error) or 'none').splitlines()[0]}"
    return None if found else f"jax {jax.__version__} has no {device} device"


def versions(setting: Setting) -> dict[str, str]:
    """jax and jaxlib, and on a GPU its name."""
    import jax
    import jaxlib

    facts = {"jax": jax.__version__, "jaxlib": jaxlib.__version__}
    if setting.device == "cuda":
        facts["device"] = jax.devices()[0].device_kind
    return facts


def synchronize(state: Any) -> None:
    """Wait for ``state`` (arrays in any structure): all that training leaves behind, and so for all that was begun.

    Nothing is sent to the device to be waited for besides: that took 59 to 120 microseconds on a CPU, of a single image
    that a dense network denoises in 240.
    """
    import jax

    jax.block_until_ready(state)


def peak_memory(setting: Setting) -> int | None:
    """Largest number of bytes held on the device, where jax can tell."""
    import jax

    if setting.device == "cpu":
        return None
    statistics = jax.devices()[0].memory_stats() or {}
    return int(statistics["peak_bytes_in_use"]) if "peak_bytes_in_use" in statistics else None


def matrix_products(setting: Setting, size: int) -> Callable[[int], None]:
    """See :meth:`implementations.adapter.Adapter.matrix_products`."""
    import jax
    import jax.numpy as jnp

    source = np.random.default_rng(0)
    one, other = (jnp.asarray(source.random((size, size)), setting.product_dtype) for _ in range(2))
    exactly = "tensorfloat32" if setting.precision == "tf32" else "highest"
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=exactly))

    def multiply(count: int) -> None:
        for _ in range(count):
            done = product(one, other)
        jax.block_until_ready(done)

    return multiply
