//! What every part's bench stands on.
//!
//! ```text
//! peers (find or install) -> rounds (each contestant once a round, in another order each time)
//!     -> process (run, CPU, memory) -> stats (medians, ratios) -> table (text and JSON) with the environment
//! ```
//!
//! Nothing here fails because something was slow: a bar that is missed is a line of the table. A contestant that cannot
//! be run at all is one, too.

pub(crate) mod environment;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod rounds;
pub(crate) mod stats;
pub(crate) mod table;
