"""Arrays made from nothing, as tensors."""
