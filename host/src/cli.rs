//! wip
#![allow(missing_docs, dead_code)]
use clap::Parser;
mod bench;
mod demo;
mod serve;
#[derive(clap::Parser)]
enum Wip { #[command(subcommand)] Bench(bench::Bench), Demo }
pub fn main() -> std::process::ExitCode {
    let rt = tokio::runtime::Runtime::new().unwrap();
    rt.block_on(async { match Wip::parse() {
      Wip::Demo => if let Err(e) = demo::run().await { eprintln!("{e}"); }
      Wip::Bench(b) => if let Err(e) = b.run(false).await { eprintln!("{e}"); } } });
    std::process::ExitCode::SUCCESS
}
