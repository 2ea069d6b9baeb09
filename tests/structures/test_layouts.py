"""The groups and units of every kind of kernel, and the masks drawn by them, by plain loops."""

import itertools

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import structures
from keras_tickets._kernels.find import find_kernels

layers = keras.layers
NM, Block, Channel, FanIn = structures.NM, structures.Block, structures.Channel, structures.FanIn


def numbered(shape):
    return np.arange(np.prod(shape)).reshape(shape)


# What each output sums over, position by position: [output][position] = indices of its inputs.
def dense(shape):
    n = numbered(shape)
    return [[n[:, o]] for o in range(shape[1])]


def conv(shape):
    n = numbered(shape)
    places = list(itertools.product(range(shape[0]), range(shape[1])))
    return [[n[h, w, :, o] for h, w in places] for o in range(shape[3])]


def transposed(shape):
    n = numbered(shape)
    places = list(itertools.product(range(shape[0]), range(shape[1])))
    return [[n[h, w, o, :] for h, w in places] for o in range(shape[2])]


def depthwise(shape):
    n = numbered(shape)
    channels = itertools.product(range(shape[2]), range(shape[3]))
    return [[np.array([i]) for i in n[:, :, c, m].ravel()] for c, m in channels]


def einsum_two_inputs(shape):
    n = numbered(shape)
    return [[n[:, :, o].ravel()] for o in range(shape[2])]


def einsum_two_outputs(shape):
    n = numbered(shape)
    return [[n[:, o, p]] for o, p in itertools.product(range(shape[1]), range(shape[2]))]


def einsum_stacked(shape):
    n = numbered(shape)
    return [[n[b, :, o]] for b, o in itertools.product(range(shape[0]), range(shape[2]))]


KINDS = {
    "dense": (lambda: layers.Dense(6), (None, 8), dense),
    "conv": (lambda: layers.Conv2D(6, (3, 2)), (None, 5, 5, 4), conv),
    "transposed": (lambda: layers.Conv2DTranspose(6, (3, 2)), (None, 5, 5, 4), transposed),
    "depthwise": (
        lambda: layers.DepthwiseConv2D(2, depth_multiplier=2),
        (None, 5, 5, 4),
        depthwise,
    ),
    "two_inputs": (
        lambda: layers.EinsumDense("abcd,cde->abe", (None, 6)),
        (None, 3, 2, 4),
        einsum_two_inputs,
    ),
    "two_outputs": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 3, 2)),
        (None, 5, 8),
        einsum_two_outputs,
    ),
    "stacked": (
        lambda: layers.EinsumDense("abc,bcd->abd", (3, 6)),
        (None, 3, 8),
        einsum_stacked,
    ),
    "gates": (lambda: layers.LSTMCell(2), (None, 8), dense),
}


def kernel_of(kind):
    make, input_shape, outputs_of = KINDS[kind]
    layer = make()
    layer.build(input_shape)
    kernel = find_kernels(layer, filters=lambda path: True)[0][0]
    return kernel, outputs_of(kernel.shape)


def expected_units(structure, outputs):
    """[group][unit] = the indices of a unit's weights, from the outputs' positions and inputs."""
    if isinstance(structure, FanIn):
        return [[[i] for part in output for i in part] for output in outputs]
    if isinstance(structure, NM):
        parts = [part for output in outputs for part in output]
        return [[[i] for i in g] for p in parts for g in np.reshape(p, (-1, structure.m))]
    if isinstance(structure, Channel):
        return [[np.concatenate(output) for output in outputs]]
    rows, columns = structure.shape
    units = []
    for i in range(0, len(outputs), columns):
        for place in range(len(outputs[0])):
            tile = np.array([output[place] for output in outputs[i : i + columns]])
            units += [tile[:, j : j + rows].ravel() for j in range(0, tile.shape[1], rows)]
    return [units]


STRUCTURES = [NM(1, 4), Block((4, 2)), Block((2, 1)), Channel(), FanIn()]


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_units_and_groups(kind, structure):
    kernel, outputs = kernel_of(kind)
    if kind == "depthwise" and isinstance(structure, (NM, Block)):
        with pytest.raises(ValueError, match="its 1 inputs"):
            structure.layout(kernel)
        return
    layout, expected = structure.layout(kernel), expected_units(structure, outputs)
    rng = np.random.default_rng(0)
    sizes = (layout.groups, layout.units, layout.unit_size)
    assert sizes == (len(expected), len(expected[0]), len(expected[0][0]))
    scores = rng.integers(-40, 40, kernel.shape).astype(np.float32)
    means = [[scores.ravel()[unit].mean(dtype=np.float64) for unit in group] for group in expected]
    np.testing.assert_array_equal(layout.pool(tf.constant(scores)), np.float32(means))
    chosen = rng.random(sizes[:2]) < 0.5
    mask = np.zeros(kernel.size, bool)
    for group, unit in zip(*np.nonzero(chosen), strict=True):
        mask[expected[group][unit]] = True
    np.testing.assert_array_equal(layout.spread(tf.constant(chosen)).numpy().ravel(), mask)
    np.testing.assert_array_equal(layout.pool(tf.constant(mask.reshape(kernel.shape))), chosen)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
@pytest.mark.parametrize(
    "kind, jit_compile",
    slow_unless(
        lambda kind, jit_compile: jit_compile == (kind == "conv"),
        itertools.product(["dense", "conv", "two_inputs"], [False, True]),
    ),
)
def test_chooses_the_best_units_of_each_group(kind, structure, jit_compile):
    kernel, outputs = kernel_of(kind)
    layout, expected = structure.layout(kernel), expected_units(structure, outputs)
    rng = np.random.default_rng(1)
    scores = rng.integers(-3, 4, kernel.shape).astype(np.float32)
    choose = tf.function(layout.choose, jit_compile=jit_compile)
    method = "bit_search" if jit_compile else "histogram"
    for left in range(layout.units + 1):
        mask = np.zeros(kernel.size, bool)
        for group in expected:
            means = np.array([scores.ravel()[unit].mean() for unit in group])
            best = oracle.top(means, left, np.ones(len(group), bool))
            mask[np.concatenate([[], *np.array(group)[best]]).astype(int)] = True
        got = choose(tf.constant(scores), tf.constant(left), method=method).numpy().ravel()
        np.testing.assert_array_equal(got, mask)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_first_masks(structure):
    def sparse(mask, seed=0):
        keras.utils.set_random_seed(2)
        layer = kt.layers.Sparse(
            layers.Conv2D(6, 3, name="conv"), 0.75, structure=structure, mask=mask, seed=seed
        )
        layer.build((None, 5, 5, 8))
        return layer.masked_kernels[0]

    magnitude, random, ones = sparse("magnitude"), sparse("random"), sparse("ones")
    assert ones.mask.numpy().all() and ones.count() == 3 * 3 * 8 * 6
    for record in (magnitude, random):
        assert record.count() == record.target < ones.count()
        pooled = record.layout.pool(record.mask.value).numpy()
        np.testing.assert_array_equal(record.layout.spread(pooled), record.mask.numpy())
        assert (pooled.sum(axis=1) == record.layout.left(record.sparsity)).all()
    weights = np.abs(sparse("ones").kernel.numpy())
    kept = magnitude.layout.pool(tf.constant(weights)).numpy()
    chosen = magnitude.layout.pool(magnitude.mask.value).numpy()
    for row, mask in zip(kept, chosen, strict=True):
        assert row[mask].min() >= row[~mask].max()
    assert (sparse("random", seed=1).mask.numpy() != random.mask.numpy()).any()


def test_the_sparsity_of_n_of_m_leaves_exactly_n():
    for m in range(2, 65):
        for n in range(1, m):
            sparsity = NM(n, m).sparsity
            assert sparsity == pytest.approx(1 - n / m)
            assert m - int(np.floor(sparsity * m)) == n


def model_of(inputs, *hidden):
    return keras.Sequential([keras.Input(inputs), *hidden])


def test_n_of_m_by_a_dict_leaves_kernels_of_sparsity_0_dense():
    model = model_of((3,), layers.Dense(8, name="a"), layers.Dense(8, name="b"), layers.Dense(2))
    sparsity = {"^a/": 0.0, "^b/": 1 - 1 / 4}
    sparse = kt.sparsify(model, sparsity, structure=NM(1, 4))
    assert sparse.masks["a/kernel"].all() and sparse.masks["b/kernel"].sum() == 16
    assert kt.plan(model, sparsity, structure=NM(1, 4)).nonzeros == 24 + 16
    with pytest.raises(ValueError, match=r"the sparsity is 0\.75\. Received: 0\.5 for kernel 'b/"):
        kt.sparsify(model, {"b": 0.5}, structure=NM(1, 4))
    with pytest.raises(ValueError, match="distribution='ekr'"):
        kt.sparsify(model, 0.75, structure=NM(1, 4), distribution="ekr", filters="b")


def test_a_distribution_that_leaves_a_kernel_dense_need_not_fit_it():
    model = model_of((300,), layers.Dense(200, name="a"), layers.Dense(5, name="b"))
    plan = kt.plan(model, 0.9, structure=Block((4, 4)))
    assert [row.sparsity for row in plan.rows][1] == 0
    assert all(row.nonzeros % 16 == 0 for row in plan.rows[:1])
    sparse = kt.sparsify(model, 0.9, structure=Block((4, 4)))
    assert kt.summary(sparse).rows == plan.rows


def test_a_layer_of_ones_own():
    with pytest.raises(ValueError, match=r"the sparsity is 0\.5\. Received: 0\.9"):
        kt.layers.Sparse(layers.Dense(4), 0.9, structure=NM(2, 4)).build((None, 8))
    with pytest.raises(ValueError, match=r"`structure` of Sparse layer 'fc' names \['kernle'\]"):
        kt.layers.Sparse(layers.Dense(4, name="fc"), 0.5, structure={"kernle": None}).build((1, 8))


def test_warns_where_whole_units_fall_short_of_the_sparsity():
    model = model_of((4,), layers.Dense(64, name="a"))
    with pytest.warns(UserWarning, match="0.9000 was asked for, 0.7500 is reached.*FanIn"):
        kt.plan(model, 0.9, structure=FanIn())
