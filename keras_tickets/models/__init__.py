"""Networks of the sparse-training literature, as built functional Keras models."""

from keras_tickets.models.char_gru import char_gru
from keras_tickets.models.convnets import conv2, conv4, conv6
from keras_tickets.models.inception_v3 import inception_v3
from keras_tickets.models.lenet import lenet_300_100
from keras_tickets.models.mobilenet_v1 import mobilenet_v1
from keras_tickets.models.mobilenet_v2 import mobilenet_v2
from keras_tickets.models.resnet import resnet20, resnet32, resnet44, resnet56, resnet110
from keras_tickets.models.resnet50 import resnet50
from keras_tickets.models.resnet_bottleneck import resnet83_bottleneck, resnet164_bottleneck
from keras_tickets.models.squeezenet import squeezenet
from keras_tickets.models.vgg import vgg11, vgg13, vgg16, vgg19
from keras_tickets.models.wide_resnet import wrn22_2
from keras_tickets.models.widths import big_sparse, small_dense

__all__ = [
    "big_sparse",
    "char_gru",
    "conv2",
    "conv4",
    "conv6",
    "inception_v3",
    "lenet_300_100",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet83_bottleneck",
    "resnet110",
    "resnet164_bottleneck",
    "small_dense",
    "squeezenet",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "wrn22_2",
]
