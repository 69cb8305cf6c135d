"""Container images: built, tagged, published."""
