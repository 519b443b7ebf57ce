"""The two-layer network of the workbook, where the workbook imports it from; see `classifiers.neural_net`."""

from .classifiers.neural_net import TwoLayerNet

__all__ = ["TwoLayerNet"]
