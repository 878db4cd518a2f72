//! How a load test is shown: functions from a result to text, to a terminal's live view and to an HTML page.
//!
//! [`facts`] has the words that text and page share, [`format`] the numbers; [`term`] paints lines for [`text`] and
//! [`live`]; [`chart`] has scales, from which [`html`] draws. Nothing here does I/O, reads a clock or asks the
//! environment, and nothing that a user or a target wrote reaches a terminal or a page as it is.

mod chart;
mod facts;
pub mod format;
pub mod html;
pub mod live;
mod term;
pub mod text;

#[cfg(test)]
mod sample;

pub use facts::target;
pub use term::Style;
