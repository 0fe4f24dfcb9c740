"""Units on Ray Data: those of the plain job, and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona_ray.corpus.units import UnitStore
from persona_ray.errors import ConfigError
from persona_ray.launch.units import prepare_units
from persona_ray.progress import SilentProgress
from tests.unit.objectives.speech_toys import Melodies, clip_infos, fingerprint, run_config

INFOS = clip_infos([400 + 37 * (n % 41) for n in range(150)])


def units(folder: Path, backend: str, **iteration: Any) -> UnitStore:
    config = run_config(folder, backend, iterations=[{"clusters": 12, **iteration}])
    return prepare_units(config, 0, "", INFOS, Melodies(), fingerprint(INFOS), SilentProgress())


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
class TestOnRay:
    @pytest.mark.parametrize(
        "iteration",
        [{}, pytest.param({"features": "layer", "layer": 2}, marks=pytest.mark.drill)],
        ids=str,
    )
    def test_they_equal_those_of_the_plain_job(
        self, iteration: dict[str, Any], tmp_path: Path
    ) -> None:
        plain = units(tmp_path / "plain", "plain", **iteration)
        on_ray = units(tmp_path / "ray", "ray", **iteration)
        assert on_ray.info.key == plain.info.key
        np.testing.assert_allclose(on_ray.centres(), plain.centres(), rtol=1e-4, atol=1e-4)
        for info in INFOS:
            np.testing.assert_array_equal(on_ray.units(info.clip_id), plain.units(info.clip_id))

    def test_what_is_wrong_comes_out_as_itself(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="layer 9: the encoder has 2 blocks"):
            units(tmp_path, "ray", features="layer", layer=9)
        assert not (tmp_path / "corpus" / "units").exists()
