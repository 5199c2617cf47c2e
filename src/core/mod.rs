//! The life of a request, seal state, `sys/`.
