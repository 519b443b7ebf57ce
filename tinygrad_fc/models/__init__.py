"""The course networks."""

from .classifier import Classifier, Params
from .fully_connected import FullyConnectedNet
from .two_layer import TwoLayerNet

__all__ = ["Classifier", "FullyConnectedNet", "Params", "TwoLayerNet"]
