//! What a load test is and what came of it: the pure core of `purlin load`.
//!
//! A [`Plan`](plan::Plan) says what to send, how fast and for how long. [`Arrivals`](arrivals::Arrivals) turn its pace
//! into the instants at which iterations are meant to begin, for one of several workers. Each worker notes what happens
//! in a [`Tally`](tally::Tally); tallies of workers and of processes are added up without loss, since a
//! [`Histogram`](histogram::Histogram) is a table of counts. A [`Summary`](summary::Summary) is the result that is
//! written, compared and judged. Nothing here does I/O or reads a clock.

pub mod arrivals;
pub mod compare;
pub mod data;
pub mod extract;
mod field;
pub mod histogram;
pub mod iteration;
mod node;
pub mod plan;
pub mod script;
pub mod summary;
pub mod tally;
pub mod target;
pub mod template;
pub mod threshold;
pub mod words;

#[cfg(test)]
mod samples;
