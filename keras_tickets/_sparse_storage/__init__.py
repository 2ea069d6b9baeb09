"""Products with a kernel that is held as values and positions: one interface, two engines."""

from keras_tickets._sparse_storage.engines import ENGINES as ENGINES
from keras_tickets._sparse_storage.engines import Engine as Engine
from keras_tickets._sparse_storage.engines import find_engine as find_engine
from keras_tickets._sparse_storage.engines import in_saved_models as in_saved_models
from keras_tickets._sparse_storage.pattern import OuterProduct as OuterProduct
from keras_tickets._sparse_storage.pattern import Pattern as Pattern
from keras_tickets._sparse_storage.products import multiply as multiply
