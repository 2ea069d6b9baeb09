"""A network that these tests train once."""

import keras
import pytest
from saved_networks import fit, sparse


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = sparse(dropout=0.2)
    fit(model)
    return model
