//! The tree keeps its shape.
