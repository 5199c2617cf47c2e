//! Tokens over a real lease manager and its reaper: making, finding, uses, trees, power failures.

mod crash;
mod life;
mod races;
mod tidy;
mod tree;
mod world;
