"""The temperature in the contract: kept, checked, and absent from older bundles."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from persona_ray.models.bundle import contract_of
from persona_ray.models.contract import Contract
from tests.unit.models.test_bimodal import small_model


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_of(small_model(), "corpus-1", {"loss": 0.5}, {"epochs": 3})


def test_a_temperature_is_written_and_read(contract: Contract) -> None:
    calibrated = contract.with_temperature(1.75)
    again = Contract.model_validate_json(calibrated.model_dump_json())
    assert again.temperature == 1.75
    assert again.with_temperature(1.0, "12 clips, 50 are needed").temperature_note.startswith("12")
    assert again.with_temperature(1.0) == contract


def test_a_contract_without_temperature_leaves_the_logits_alone(contract: Contract) -> None:
    tree = contract.model_dump(mode="json")
    del tree["temperature"], tree["temperature_note"]
    assert Contract.model_validate_json(json.dumps(tree)) == contract
    assert contract.temperature == 1.0


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_divides_nothing_is_refused(
    contract: Contract, temperature: float
) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        contract.with_temperature(temperature)
