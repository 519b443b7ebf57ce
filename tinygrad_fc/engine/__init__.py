"""The engine: tensors, the tape, declarations of operations, backward, NumPy's dispatch, and the graph. It knows no op."""
