//! What storage holds becomes secret here.
