"""Small networks of the sparse-training literature, as built functional Keras models."""

from keras_tickets.models.convnets import conv2, conv4, conv6
from keras_tickets.models.lenet import lenet_300_100
from keras_tickets.models.resnet import resnet20

__all__ = ["conv2", "conv4", "conv6", "lenet_300_100", "resnet20"]
