"""The only place that touches Keras internals; everything else uses public names.

`tests/test_keras_compat*.py` fail loudly on a Keras version where one of them no longer fits.
"""

from keras.src import backend

from keras_tickets._keras_compat.graphs import ELEMENTWISE_OPERATIONS as ELEMENTWISE_OPERATIONS
from keras_tickets._keras_compat.graphs import MERGING_OPERATIONS as MERGING_OPERATIONS
from keras_tickets._keras_compat.graphs import DelegatingFunctional as DelegatingFunctional
from keras_tickets._keras_compat.graphs import Functional as Functional
from keras_tickets._keras_compat.graphs import called_layer as called_layer
from keras_tickets._keras_compat.graphs import copy_settings as copy_settings
from keras_tickets._keras_compat.graphs import input_signature as input_signature
from keras_tickets._keras_compat.graphs import is_graph as is_graph
from keras_tickets._keras_compat.graphs import map_shapes as map_shapes
from keras_tickets._keras_compat.graphs import output_layer as output_layer
from keras_tickets._keras_compat.graphs import plain_argmax as plain_argmax
from keras_tickets._keras_compat.graphs import read_graph as read_graph
from keras_tickets._keras_compat.graphs import rebuild as rebuild
from keras_tickets._keras_compat.layers import adopt_call_of as adopt_call_of
from keras_tickets._keras_compat.layers import all_layers as all_layers
from keras_tickets._keras_compat.layers import automatic_name as automatic_name
from keras_tickets._keras_compat.layers import build_by_call as build_by_call
from keras_tickets._keras_compat.layers import call_signature as call_signature
from keras_tickets._keras_compat.layers import computing_in as computing_in
from keras_tickets._keras_compat.layers import finalize_state as finalize_state
from keras_tickets._keras_compat.layers import inline_functions as inline_functions
from keras_tickets._keras_compat.layers import input_like as input_like
from keras_tickets._keras_compat.layers import is_built as is_built
from keras_tickets._keras_compat.layers import is_initialized as is_initialized
from keras_tickets._keras_compat.layers import last_symbolic_call as last_symbolic_call
from keras_tickets._keras_compat.layers import overrides_build as overrides_build
from keras_tickets._keras_compat.layers import own_attributes as own_attributes
from keras_tickets._keras_compat.layers import sublayers as sublayers
from keras_tickets._keras_compat.layers import symbolic_call as symbolic_call
from keras_tickets._keras_compat.optimizers import accumulated_batches as accumulated_batches
from keras_tickets._keras_compat.optimizers import build_recording_slots as build_recording_slots
from keras_tickets._keras_compat.optimizers import build_without_slots as build_without_slots
from keras_tickets._keras_compat.optimizers import completes_step as completes_step
from keras_tickets._keras_compat.optimizers import finish_inner_build as finish_inner_build
from keras_tickets._keras_compat.optimizers import learning_rate_at as learning_rate_at
from keras_tickets._keras_compat.optimizers import loss_scale_backoff as loss_scale_backoff
from keras_tickets._keras_compat.optimizers import loss_scale_step as loss_scale_step
from keras_tickets._keras_compat.optimizers import no_sum_over_replicas as no_sum_over_replicas
from keras_tickets._keras_compat.optimizers import optimizer_core as optimizer_core
from keras_tickets._keras_compat.optimizers import optimizer_parts as optimizer_parts
from keras_tickets._keras_compat.optimizers import set_steps as set_steps
from keras_tickets._keras_compat.optimizers import skip_step as skip_step
from keras_tickets._keras_compat.optimizers import without_tracking as without_tracking
from keras_tickets._keras_compat.saving import AskedBeforeSavedModel as AskedBeforeSavedModel
from keras_tickets._keras_compat.saving import made_without_weights as made_without_weights
from keras_tickets._keras_compat.saving import trusted as trusted
from keras_tickets._keras_compat.scopes import called_graph as called_graph
from keras_tickets._keras_compat.scopes import current_state as current_state
from keras_tickets._keras_compat.scopes import functional_scope as functional_scope
from keras_tickets._keras_compat.scopes import masked_scope as masked_scope
from keras_tickets._keras_compat.scopes import name_after_layers as name_after_layers
from keras_tickets._keras_compat.scopes import outer_name_scope as outer_name_scope
from keras_tickets._keras_compat.scopes import reading_scope as reading_scope
from keras_tickets._keras_compat.scopes import uncast as uncast
from keras_tickets._keras_compat.training import DistributedTrainer as DistributedTrainer
from keras_tickets._keras_compat.training import (
    scale_loss_for_distribution as scale_loss_for_distribution,
)
from keras_tickets._keras_compat.training import (
    unscale_loss_for_distribution as unscale_loss_for_distribution,
)

if backend.backend() != "tensorflow":
    raise ImportError(
        "keras_tickets needs the TensorFlow backend of Keras: set KERAS_BACKEND=tensorflow before "
        f"keras is imported. Received: KERAS_BACKEND={backend.backend()}"
    )
