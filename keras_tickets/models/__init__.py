"""Small networks of the sparse-training literature, as built functional Keras models."""

from keras_tickets.models.convnets import conv2, conv4, conv6
from keras_tickets.models.lenet import lenet_300_100
from keras_tickets.models.resnet import resnet20
from keras_tickets.models.widths import big_sparse, small_dense

__all__ = ["big_sparse", "conv2", "conv4", "conv6", "lenet_300_100", "resnet20", "small_dense"]
