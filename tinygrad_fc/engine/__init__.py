"""The engine: tensors, the tape, declared operations, backward, NumPy's dispatch, and the graph. It knows no op."""
