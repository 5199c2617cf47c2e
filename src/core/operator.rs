//! What operators ask of a server that may be sealed (spec `sys.md` §1, §2).
