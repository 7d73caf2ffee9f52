//! `landfall serve --dev NAME=FILE.wasm`: a policy that is being written becomes live as soon as it is built.
//!
//! The file is checked several times a second. If it has changed and then stayed the same for one check (a build writes
//! it in parts), it goes through all stages of a revision: loading, the settings of every enrollment that follows the
//! name, the switch. Before the switch, its answers to the golden vectors are compared with those of the live revision.
//! A revision that does not answer as the vectors expect is not made live. If a stage fails, nothing changes. The
//! author is told which stage failed, and which revision still decides.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use landfall_domain::clock::Stopwatch;
use landfall_domain::names::{IdScope, PluginName};
use landfall_policy::Fetched;
use landfall_policy::image::Revision;
use landfall_policy::workbench::compare::{Changed, Comparison, compare};
use landfall_policy::workbench::vector::VectorFile;
use landfall_store::Precondition;

use super::super::Output;
use crate::service::Service;
use crate::service::switch::Publisher;

/// What is served while it is written.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct DevArgs {
    /// Publish this file as the plugin NAME, now and whenever it changes; can be given several times. Not for production:
    /// whoever can write the file decides where devices go.
    #[arg(long, value_name = "NAME=FILE.wasm")]
    dev: Vec<DevPlugin>,
    /// Golden vectors, on which each new revision is compared with the live one. One that does not answer as they expect is
    /// held back.
    #[arg(long, value_name = "FILE", requires = "dev")]
    vectors: Option<PathBuf>,
}

/// A plugin and the file that its author builds.
#[derive(Clone, Debug)]
struct DevPlugin {
    name: PluginName,
    file: PathBuf,
}

impl FromStr for DevPlugin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').ok_or("NAME=FILE.wasm")?;
        Ok(Self { name: name.parse().map_err(|error| format!("{error}"))?, file: file.into() })
    }
}

/// Watches the files until the task is dropped.
pub(super) async fn watch(service: Arc<Service>, scope: IdScope, args: DevArgs, out: Output) {
    let mut plugins: Vec<(DevPlugin, Changes)> =
        args.dev.into_iter().map(|plugin| (plugin, Changes::default())).collect();
    for (DevPlugin { name, file }, _) in &plugins {
        tracing::warn!(plugin = %name, file = %file.display(), "DEVELOPMENT: whoever can write this file decides where devices go");
    }
    while !plugins.is_empty() {
        for (plugin, changes) in &mut plugins {
            if changes.settled(stamp(&plugin.file)) {
                let reload = Reload { service: &service, scope: &scope, plugin, vectors: args.vectors.as_deref() };
                let story = reload.carry_out().await;
                // Serving must go on even if the terminal is gone or accepts no more.
                drop(tokio::task::spawn_blocking(move || out.say(story)).await);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Identifies a state of a file; `None` while there is no file.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Detects when a file has changed and is complete.
#[derive(Debug, Default)]
struct Changes {
    last: Stamp,
    taken: Stamp,
}

impl Changes {
    /// Whether the file differs from the one that was taken last, and is the same as at the last check.
    fn settled(&mut self, now: Stamp) -> bool {
        let settled = now.is_some() && now == self.last && now != self.taken;
        self.last = now;
        if settled {
            self.taken = now;
        }
        settled
    }
}

/// One new state of a file.
struct Reload<'a> {
    service: &'a Arc<Service>,
    scope: &'a IdScope,
    plugin: &'a DevPlugin,
    vectors: Option<&'a Path>,
}

impl Reload<'_> {
    /// Takes the file through all stages, and describes the result.
    async fn carry_out(&self) -> String {
        let name = &self.plugin.name;
        let mut story = format!("{name}: {} has changed\n", self.plugin.file.display());
        let began = Stopwatch::system();
        let live = self.live().await;
        let kept = match &live {
            Some(live) => format!("{} goes on deciding", live.digest().short()),
            None => "no revision is live".to_owned(),
        };
        let revision = match self.load().await {
            Ok(revision) => revision,
            Err(error) => return story + &format!("  not taken: {error}\n  {kept}"),
        };
        let (version, digest) = (&revision.description().version, revision.digest().short());
        let _ = writeln!(story, "  {version} ({digest}) loads, in {} ms", began.elapsed().as_millis());
        if live.as_ref().is_some_and(|live| live.digest() == revision.digest()) {
            return story + "  it is the live revision already";
        }
        match self.compared(live, &revision).await {
            Ok(told) => story += &told,
            Err(told) => return story + &told + &format!("  held back; {kept}"),
        }
        let by = Publisher { token: PUBLISHED_BY, most_bytes: None };
        match self.service.make_live(self.scope, name, &revision, Vec::new(), &by, Precondition::Any).await {
            Ok(_) => {
                story + &format!("  {digest} is live, {} ms after the change was seen", began.elapsed().as_millis())
            }
            Err(error) => story + &format!("  not taken: {error}\n  {kept}"),
        }
    }

    async fn load(&self) -> Result<Arc<Revision>, String> {
        let limit = self.service.config().limits.management.component_bytes;
        let file = self.plugin.file.clone();
        let fetched = tokio::task::spawn_blocking(move || Fetched::read(&file, limit)).await;
        let fetched = fetched.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.service.images().load(fetched).await.map_err(|error| error.to_string())
    }

    async fn live(&self) -> Option<Arc<Revision>> {
        let scope = self.service.scope(self.scope)?;
        let live = scope.plugin(&self.plugin.name)?.live;
        self.service.images().revision(landfall_store::Lane::Operator, live).await.ok()
    }

    /// Describes how its answers differ. An error means that it must not become live.
    async fn compared(&self, live: Option<Arc<Revision>>, revision: &Arc<Revision>) -> Result<String, String> {
        let Some(path) = self.vectors else { return Ok(String::new()) };
        let vectors = match VectorFile::read(path) {
            Ok(file) => file.vectors,
            Err(error) => return Err(format!("  there are no golden vectors to try it on: {error}\n")),
        };
        let (policies, revision) = (Arc::clone(self.service.policies()), Arc::clone(revision));
        let compared = tokio::task::spawn_blocking(move || compare(&policies, live, revision, &vectors)).await;
        let comparison = compared.map_err(|error| format!("  comparing was interrupted: {error}\n"))?;
        if comparison.unmet.is_empty() {
            Ok(comparison_in_words(&comparison))
        } else {
            Err(comparison_in_words(&comparison))
        }
    }
}

/// A comparison in words for the author.
fn comparison_in_words(comparison: &Comparison) -> String {
    let Comparison { vectors, changed, unmet } = comparison;
    let mut told = match changed {
        Some(changed) => format!("  {} of {vectors} golden vectors are answered differently\n", changed.len()),
        None => format!("  {vectors} golden vectors, and no live revision to compare with\n"),
    };
    let changed = changed.as_deref().unwrap_or_default();
    for Changed { name, before, now } in changed.iter().take(SHOWN) {
        let _ = write!(told, "    {name}\n      was {before}\n      now {now}\n");
    }
    if changed.len() > SHOWN {
        let _ = writeln!(told, "    and {} more", changed.len() - SHOWN);
    }
    if !unmet.is_empty() {
        let _ = writeln!(told, "  {} of {vectors} do not get what they expect: {}", unmet.len(), unmet.join("; "));
    }
    told
}

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// The number of differences that are printed.
const SHOWN: usize = 20;
/// The name of the publisher, in the place of a token's id.
const PUBLISHED_BY: &str = "serve --dev";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_taken_once_when_it_has_stayed_the_same_for_one_look() {
        let at = |seconds, len| Some((SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), len));
        let mut changes = Changes::default();
        let looks = [None, at(1, 10), at(1, 20), at(1, 20), at(1, 20), None, at(2, 20), at(2, 20), at(2, 20)];
        let taken: Vec<_> = looks.into_iter().map(|look| changes.settled(look)).collect();
        assert_eq!(taken, [false, false, false, true, false, false, false, true, false]);
    }

    #[test]
    fn what_changes_for_the_fleet_and_what_is_wrong_are_told_apart() {
        let of_three = |changed, unmet| comparison_in_words(&Comparison { vectors: 3, changed, unmet });
        assert_eq!(of_three(Some(vec![]), vec![]), "  0 of 3 golden vectors are answered differently\n");
        assert_eq!(of_three(None, vec![]), "  3 golden vectors, and no live revision to compare with\n");
        let changed = Changed { name: "gold".into(), before: json!({ "assign": 1 }), now: json!({ "reject": 2 }) };
        let text = of_three(Some(vec![changed]), vec!["silver".into()]);
        assert!(text.starts_with("  1 of 3 golden vectors are answered differently\n    gold\n"), "{text}");
        assert!(text.contains("was {\"assign\":1}\n      now {\"reject\":2}"), "{text}");
        assert!(text.ends_with("  1 of 3 do not get what they expect: silver\n"), "{text}");
    }

    #[test]
    fn a_plugin_and_its_file_are_told_apart_by_the_first_equals_sign() {
        let plugin: DevPlugin = "ours=target/a=b.wasm".parse().unwrap();
        assert_eq!((plugin.name.as_str(), plugin.file.to_str().unwrap()), ("ours", "target/a=b.wasm"));
        assert!("ours".parse::<DevPlugin>().is_err() && "No Name=a".parse::<DevPlugin>().is_err());
    }
}
