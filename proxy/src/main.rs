//! The `refrain` program. It only sequences; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    refrain::cli::main_from(std::env::args_os())
}
