"""The network that levels prune, in the basis in which they prune it."""

from keras_tickets._checks import check_model
from keras_tickets._kernels.find import find_kernels
from keras_tickets._training_step.training import SparseTraining
from keras_tickets.bases.basis import check_basis
from keras_tickets.bases.identity import Identity
from keras_tickets.masks import sparsity_of_masks, whole_kernels
from keras_tickets.model import basis_of, set_basis, with_full_masks
from keras_tickets.trainers.state import network_of


def checked_basis(basis, optimizer_state):
    """The basis, `None` for that of single weights."""
    if basis is None or isinstance(check_basis(basis), Identity):
        return None
    if not basis.fixed and optimizer_state == "restore":
        raise ValueError(
            f'`optimizer_state` must be "fresh" with a basis that is drawn anew at each level: the '
            f"slots of step k are of the coefficients of level 0. Received: basis={basis!r}, "
            f"optimizer_state={optimizer_state!r}"
        )
    return basis


def prunable(model, basis):
    """The sparse model, with everything that can be pruned still unpruned."""
    if not isinstance(model, SparseTraining):
        check_model(model)
        if find_kernels(model)[0]:
            model = with_full_masks(model)
    network = network_of(model)
    records = whole_kernels(network, "Pruning", any_basis=True)
    if not records:
        raise ValueError(f"Model {model.name!r} has no kernels to prune.")
    for record in records.values():
        record.begin_from("ones")
        record.first = None
    _move_into_basis(network, basis)
    return model


def _move_into_basis(network, basis):
    """Makes the network hold its kernels in the basis, unless it has been trained there."""
    present = basis_of(network)
    if present == basis or (basis and not basis.fixed and type(present) is type(basis)):
        return
    if present is not None or sparsity_of_masks(network):
        raise ValueError(
            "`model` must have all its weights where `basis` is given, and be in no other basis. "
            f"Received: basis={basis!r}, model {network.name!r} in basis {present!r} with sparsity "
            f"{sparsity_of_masks(network):.4f}"
        )
    set_basis(network, basis)
