"""The classifiers of the course CS231n: `fc_net`, and `neural_net` of its earlier form."""

from . import fc_net, neural_net

__all__ = ["fc_net", "neural_net"]
