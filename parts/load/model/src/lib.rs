//! What a load test is and what came of it: the pure core of `purlin load`.
//!
//! A [`Script`](script::Script) is the file that a test is written in; with what the command line says it becomes a
//! [`Plan`](plan::Plan), which says what to send, how fast and for how long. [`Arrivals`](arrivals::Arrivals) turn its
//! pace into the instants at which iterations are meant to begin, for one of several workers. An iteration's number
//! decides what it sends ([`iteration`]): its scenario, its row of [`data`], the values in its [`template`]s; what an
//! answer gives to the next request is taken by [`extract`]. Each worker notes what happens in a
//! [`Tally`](tally::Tally); tallies of workers and of processes are added up without loss, since a
//! [`Histogram`](histogram::Histogram) is a table of counts. A [`Summary`](summary::Summary) is the result that is
//! written, with its [`figures`] and its [`series`]; it is judged by [`threshold`]s and set against another one by
//! [`compare`]. Nothing here does I/O or reads a clock.

pub mod arrivals;
pub mod compare;
pub mod data;
pub mod extract;
mod field;
pub mod figures;
pub mod histogram;
pub mod iteration;
mod node;
pub mod plan;
pub mod script;
pub mod seconds;
mod secrets;
pub mod series;
pub mod summary;
pub mod tally;
pub mod target;
pub mod template;
pub mod threshold;
pub mod words;

#[cfg(test)]
mod samples;
