//! Integration tests of the command line: commands as processes, and the demo backend over sockets.

mod demo_backend;
mod up;
