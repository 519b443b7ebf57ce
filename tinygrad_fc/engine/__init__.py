"""The engine: tensors, the tape, declared operations, backward, and NumPy's dispatch. It knows no op."""
