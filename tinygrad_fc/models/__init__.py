"""The course networks."""

from .classifier import Classifier
from .fully_connected import FullyConnectedNet
from .trained import Params, Trained
from .two_layer import TwoLayerNet

__all__ = ["Classifier", "FullyConnectedNet", "Params", "Trained", "TwoLayerNet"]
