"""The FLOPs that papers on RigL print, beside what `convention="rigl"` counts.

    python tools/published_flops.py

Prints the Markdown tables of docs/flops.md: ResNet-50, MobileNet and WRN-22-2. Takes half a minute.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import keras

import keras_tickets as kt
from keras_tickets._accounting.costs import CONVENTIONS, Cost, find_uses
from keras_tickets._accounting.sizes import StoredKernel, stored_sizes
from keras_tickets._allocation import allocate
from keras_tickets._kernels.find import Kernel, all_kernels
from keras_tickets.flops import training_flops

RIGL = CONVENTIONS["rigl"]
SPARSITIES = (0.8, 0.9, 0.95, 0.965)
EVERY, STEPS, END = 100, 32_000, 25_000  # of RigL on ImageNet
FIRST_TOO = kt.distributions.Uniform(dense_first_conv=False)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and what the published count finds in it.

    Attributes:
        kernels: All its kernels.
        costs: Their costs.
    """

    kernels: list[Kernel]
    costs: Mapping[str, Cost]

    @classmethod
    def of(cls, model: keras.Model) -> "Network":
        """The network of a built model."""
        kernels = all_kernels(model)
        uses = find_uses(model, kernels).kernels
        return cls(kernels, {path: cost for path, cost in uses.items() if cost is not None})

    @property
    def outputs(self) -> int:
        """Elements of all outputs of kernels, for one sample."""
        return sum(cost.outputs for cost in self.costs.values())

    def sparsities(
        self,
        sparsity: float,
        distribution: str | kt.distributions.Distribution,
        masked: Callable[[str], bool] = lambda path: True,
    ) -> dict[str, float]:
        """The share of zeros of each kernel that has some."""
        kernels = [kernel for kernel in self.kernels if masked(kernel.path)]
        return dict(allocate(kernels, sparsity, distribution).sparsity)

    def flops(self, sparsities: Mapping[str, float] | None = None) -> float:
        """Operations of a forward pass; like the published count, by shares of weights."""
        return math.fsum(
            self.costs[kernel.path].count(
                kernel.size * (1 - (sparsities or {}).get(kernel.path, 0)), RIGL
            )
            for kernel in self.kernels
        )

    def ratio(self, sparsities: Mapping[str, float], more: float = 0.0) -> float:
        """`flops` over those without zeros, with `more` further operations for each output."""
        extra = more * self.outputs
        return (self.flops(sparsities) + extra) / (self.flops() + extra)

    def megabytes(self, sparsities: Mapping[str, float]) -> float:
        """Kernels with a bit for each position where there are zeros, and a bias each output."""
        stored = [
            StoredKernel(
                (kernel.size // kernel.shape[-1], kernel.shape[-1]),
                kernel.size - math.floor(kernel.size * sparsities.get(kernel.path, 0) + 1e-9),
                itemsize=4,
            )
            for kernel in self.kernels
        ]
        biases = sum(
            self.costs[k.path].outputs // self.costs[k.path].positions for k in self.kernels
        )
        return stored_sizes(stored, 4 * biases)["bit_mask"] / 1e6


def training(inference: float, every: int | None) -> float:
    """Training by the published formula, over that of dense training."""
    return training_flops(inference, 1.0, every) / 3


def rigl_course(inference: float) -> float:
    """Training with updates until their end only, over that of dense training."""
    updates = len(range(EVERY, END, EVERY)) / STEPS
    return inference + updates * (1 - inference) / 3


def pruning(inference: float, sparsity: float) -> float:
    """Training along a cubic ramp from step 10,000 to 25,000, over dense training.

    Args:
        inference: Forward pass at the end of the ramp, over a dense one.
        sparsity: Sparsity at the end of the ramp.
    """
    layer = keras.layers.Dense(100, use_bias=False)
    model = kt.sparsify(keras.Sequential([keras.Input((1000,)), layer]), sparsity, mask="ones")
    ramp = {"update_every": EVERY, "begin": 10_000, "end": END}
    model.compile(kt.optimizers.GradualMagnitude("sgd", **ramp), loss="mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.set_total_steps(STEPS)
    mean_density = kt.training_cost(model, convention="products").ratio
    return 1 - (1 - inference) * (1 - mean_density) / sparsity


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(value: float, digits: int = 2) -> str:
    """A number as papers print it: .42, 1.23."""
    return f"{value:.{digits}f}".removeprefix("0")


def resnet50_table(network: Network) -> str:
    """Every distribution, sparsity and method."""
    rows = []
    named = {"uniform": "uniform", "er": "ER", "erk": "ERK"}
    for distribution, name in named.items():
        for sparsity in SPARSITIES:
            chosen = network.sparsities(sparsity, distribution)
            f = network.ratio(chosen)
            rigl = training(f, EVERY)
            ratios = (f, training(f, 0), rigl, rigl_course(f), 2 * rigl, 5 * rigl)
            cells = [short(ratio, 4) for ratio in ratios]
            rows.append([name, f"{sparsity:g}", *cells, f"{network.megabytes(chosen):.3f}"])
    header = ["distribution", "sparsity", "inference, static, SET", "SNFS", "RigL"]
    header += ["RigL, course", "RigL 2x", "RigL 5x", "MB"]
    return table(header, rows)


@dataclasses.dataclass(frozen=True)
class Printed:
    """A number that is printed somewhere.

    Attributes:
        what: What it is of.
        sparsity: Sparsity of the network.
        distribution: How it is shared.
        says: The number.
        of: What is computed from the forward ratio.
    """

    what: str
    sparsity: float
    distribution: str
    says: str
    of: Callable[[float], float]


def _inference(ratio):
    return ratio


def _times(factor, every=EVERY):
    return lambda ratio: factor * training(ratio, every)


PRINTED = (
    *(
        Printed("inference", sparsity, "uniform", says, _inference)
        for sparsity, says in ((0.8, ".23"), (0.9, ".13"), (0.95, ".08"), (0.965, ".07"))
    ),
    *(
        Printed("inference", sparsity, "erk", says, _inference)
        for sparsity, says in ((0.8, ".42"), (0.9, ".24"), (0.95, ".12"), (0.965, ".09"))
    ),
    *(
        Printed("RigL", sparsity, name, says, _times(1))
        for name, sparsity, says in (
            ("uniform", 0.8, ".23"),
            ("uniform", 0.9, ".13"),
            ("erk", 0.8, ".42"),
            ("erk", 0.9, ".25"),
        )
    ),
    Printed("RigL 2x", 0.8, "uniform", ".46", _times(2)),
    *(
        Printed("RigL 5x", sparsity, "uniform", says, _times(5))
        for sparsity, says in ((0.8, "1.14"), (0.9, ".66"), (0.95, ".42"), (0.965, ".34"))
    ),
    *(
        Printed("RigL 5x", sparsity, "erk", says, _times(5))
        for sparsity, says in ((0.8, "2.09"), (0.9, "1.23"), (0.95, ".63"), (0.965, ".45"))
    ),
    Printed("SNFS", 0.8, "erk", ".61", _times(1, 0)),
    Printed("SNFS", 0.9, "erk", ".50", _times(1, 0)),
)


def printed_table(network: Network) -> str:
    """What is printed, what is counted, and what one more operation an output makes of it."""
    rows = []
    for each in PRINTED:
        chosen = network.sparsities(each.sparsity, each.distribution)
        counted, more = (each.of(network.ratio(chosen, n)) for n in (0, 1))
        name = {"erk": "ERK"}.get(each.distribution, each.distribution)
        found = [short(counted), short(counted, 4), short(more)]
        rows.append([each.what, name, f"{each.sparsity:g}", each.says, *found])
    chosen = network.sparsities(0.9, FIRST_TOO)
    for what, says, of in (("inference", ".10", _inference), ("RigL 5x", ".52", _times(5))):
        counted, more = (of(network.ratio(chosen, n)) for n in (0, 1))
        found = [short(counted), short(counted, 4), short(more)]
        rows.append([what, "uniform, first too", "0.9", says, *found])
    for factor, name, says in (
        (1, "pruning", (".56", ".51")),
        (1.5, "pruning 1.5x", (".84", ".76")),
    ):
        for sparsity, text in zip((0.8, 0.9), says, strict=True):
            chosen = network.sparsities(sparsity, "uniform")
            counted, more = (factor * pruning(network.ratio(chosen, n), sparsity) for n in (0, 1))
            found = [short(counted), short(counted, 4), short(more)]
            rows.append([name, "uniform", f"{sparsity:g}", text, *found])
    return table(["", "distribution", "sparsity", "printed", "counted", "", "and 1 more"], rows)


def notebook_costs() -> dict[str, tuple[int, Cost]]:
    """Sizes and costs of the kernels of MobileNet as the published notebook counts them.

    Its layers with a stride read an image that is padded on two sides and padded again for the
    count, so their outputs are one larger; its depthwise kernels are read as those of convolutions
    to a single channel.
    """
    found = {}
    side, channels = 112, 32

    def add(name, size, positions, outputs):
        found[name] = size, Cost(positions, outputs, True, True)

    add("conv1", 27 * 32, 113**2, 113**2 * 32)
    for index, (filters, stride) in enumerate(BLOCKS, start=1):
        padded = side // stride + stride - 1
        side //= stride
        add(f"block{index}_depthwise", 9 * channels, padded**2, padded**2)
        add(f"block{index}_pointwise", channels * filters, side**2, side**2 * filters)
        channels = filters
    add("logits", channels * 1000, 1, 1000)
    return found


BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *5 * ((512, 1),),
    *((1024, 2), (1024, 1)),
)


def mobilenet_table(network: Network) -> str:
    """The network as it is, and as the notebook counts it."""
    notebook = notebook_costs()
    rows = [_mobilenet_row("dense", 0.0, network, notebook, {}, {})]
    for sparsity in (0.75, 0.85, 0.9, 0.95):
        pointwise = network.sparsities(
            sparsity, "uniform", lambda path: "pointwise" in path or "logits" in path
        )
        rows.append(_mobilenet_row("uniform", sparsity, network, notebook, pointwise, pointwise))
    for sparsity in (0.75, 0.85, 0.9, 0.95):
        script = network.sparsities(
            sparsity, "erk", lambda path: "pointwise" in path or "logits" in path
        )
        first_too = network.sparsities(sparsity, "erk", lambda path: "depthwise" not in path)
        rows.append(_mobilenet_row("ERK", sparsity, network, notebook, script, first_too))
    header = [
        "distribution",
        "sparsity",
        "MFLOPs",
        "of dense",
        "notebook's way, MFLOPs",
        "of dense",
    ]
    return table(header, rows)


def _mobilenet_row(name, sparsity, network, notebook, script, first_too):
    ours = network.flops(script) / 1e6

    def theirs(sparsities):
        return math.fsum(
            cost.count(size * (1 - sparsities.get(f"{kernel}/kernel", 0)), RIGL)
            for kernel, (size, cost) in notebook.items()
        )

    cells = [f"{ours:.3f}", short(network.ratio(script), 4)]
    cells += [f"{theirs(first_too) / 1e6:.3f}", short(theirs(first_too) / theirs({}), 4)]
    return [name, f"{sparsity:g}", *cells]


def wrn_table(network: Network) -> str:
    """The first convolution unmasked, as in the authors' script, or masked, as in reproductions."""
    first = network.kernels[0].path
    rows = []
    for distribution, name in (("erk", "ERK"), ("uniform", "uniform")):
        for sparsity in (0.5, 0.8, 0.9, 0.95):
            without = network.sparsities(sparsity, distribution, lambda path: path != first)
            cells = [short(network.ratio(without), 4)]
            if distribution == "erk":
                cells.append(short(network.ratio(network.sparsities(sparsity, "erk")), 4))
            rows.append([name, f"{sparsity:g}", *cells, *[""] * (2 - len(cells))])
    header = ["distribution", "sparsity", "first convolution unmasked", "all masked"]
    return table(header, rows)


def main() -> None:
    """Prints the tables."""
    network = Network.of(kt.models.resnet50())
    print(f"ResNet-50: {network.flops() / 1e9:.3f} GFLOPs, {network.megabytes({}):.3f} MB\n")
    print(resnet50_table(network), "\n")
    print(printed_table(network), "\n")
    network = Network.of(kt.models.mobilenet_v1())
    print(mobilenet_table(network), "\n")
    network = Network.of(kt.models.wrn22_2())
    print(f"WRN-22-2: {network.flops() / 1e6:.3f} MFLOPs\n")
    print(wrn_table(network))


if __name__ == "__main__":
    main()
