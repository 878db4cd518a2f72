//! The binary that the end-to-end tests run: purlin as it is now.

use std::process::ExitCode;

fn main() -> ExitCode {
    purlin::main()
}
