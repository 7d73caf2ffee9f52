//! `landfall plugin test-runner`.

use std::path::PathBuf;

use clap::Args;
use landfall_policy::workbench::harness;

use super::super::CliError;
use super::files;

/// Run the unit tests of a policy under the engine that production runs: a runner for cargo.
#[derive(Debug, Args)]
#[command(after_help = "\
In the policy's `.cargo/config.toml`:

  [target.wasm32-wasip2]
  runner = \"landfall plugin test-runner\"

and then:

  cargo test --target wasm32-wasip2
  cargo test --target wasm32-wasip2 -- --show-usage     with the fuel and the memory of each test
  cargo nextest run --target wasm32-wasip2

Each test runs in an instance of its own. The policy's crate needs the feature `testing` of landfall-plugin among its
dev-dependencies, which answers what the policy asks of the host in its tests.")]
pub(in crate::cli) struct TestRunner {
    /// The program that cargo has built (.wasm).
    program: PathBuf,
    /// What libtest is told.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl TestRunner {
    pub(in crate::cli) fn run(self) -> Result<(), CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("{}: {error}", self.program.display()));
        let host = files::host()?;
        let program = host.load_program(&files::component(&self.program)?).map_err(|error| failed(&error))?;
        let name = self.program.display().to_string();
        let code = harness::run(&program, &name, &self.arguments, &mut std::io::stdout().lock());
        match code.map_err(CliError::Output)? {
            0 => Ok(()),
            code => Err(CliError::Tests(code)),
        }
    }
}
