//! The definitions against the facts of the specification, and against cases that touch each of them.

mod cases;
mod facts;
mod judge;
