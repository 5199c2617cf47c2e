//! The request, piece by piece.
