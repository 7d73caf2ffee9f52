//! The real binary's `main`, where the tests of this package can name it.

use std::process::ExitCode;

fn main() -> ExitCode {
    landfall::cli::main()
}
