"""Order: sorting, searching, counting."""
