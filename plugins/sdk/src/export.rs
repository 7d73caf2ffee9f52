//! What the code of `export!` calls: everything about a component that needs no macro. Not for authors.
//!
//! The configured policy lives in a static of the author's crate, a [`State`]. The host calls `configure` once, takes a
//! snapshot of the instance, and starts every decision from the snapshot; the panic hook, set at the same time, is in
//! it too. So a decision runs only what it must: arguments in, policy, answer out.

use std::cell::{Cell, OnceCell};

pub use crate::bindings::base::exports::landfall::policy::control;
pub use crate::bindings::base::{self, export_control};
pub use crate::bindings::placement::exports::landfall::policy::grouping;
pub use crate::bindings::placement::{self, export_placement};
pub use crate::bindings::selection::exports::landfall::policy::hub_selection;
pub use crate::bindings::selection::{self, export_selection};
use crate::log::{self, Level};
use crate::{Fault, NoSettings, Policy, Problem, settings};

/// The one policy of a component.
pub struct State<P> {
    policy: OnceCell<P>,
    hooked: Cell<bool>,
}

impl<P: Policy> State<P> {
    /// Nothing is configured yet.
    #[expect(clippy::new_without_default, reason = "a static needs a constant, which Default cannot be")]
    pub const fn new() -> Self {
        Self { policy: OnceCell::new(), hooked: Cell::new(false) }
    }

    /// Checks settings and keeps the policy made from them. An instance is configured once.
    pub fn configure(&self, text: &str) -> Result<(), Vec<Problem>> {
        self.report_panics();
        let policy = configure(text)?;
        self.policy.set(policy).map_err(|_| vec![crate::Pointer::ROOT.problem("this instance is configured already")])
    }

    /// Runs the policy.
    pub fn run<T>(&self, decide: impl FnOnce(&P) -> Result<T, Fault>) -> Result<T, Fault> {
        self.report_panics();
        let policy = self.policy.get().ok_or_else(|| Fault::internal("called before `configure`"))?;
        decide(policy)
    }

    fn report_panics(&self) {
        if !self.hooked.replace(true) {
            std::panic::set_hook(Box::new(report_panic));
        }
    }
}

/// What `configure` does before the policy is kept; native tests come in here too.
pub fn configure<P: Policy>(text: &str) -> Result<P, Vec<Problem>> {
    P::configure(settings::parse(text).map_err(|problem| vec![problem])?)
}

/// Who the plugin is. The schema is computed here and nowhere else: no decision pays for it.
pub fn describe<P: Policy>(name: &str, version: &str, summary: &str) -> control::Description {
    std::panic::set_hook(Box::new(report_panic));
    let takes_settings = std::any::TypeId::of::<P::Settings>() != std::any::TypeId::of::<NoSettings>();
    control::Description {
        name: name.to_owned(),
        version: version.to_owned(),
        summary: summary.to_owned(),
        settings_schema: takes_settings.then(|| schemars::schema_for!(P::Settings).as_value().to_string()),
    }
}

/// Sends the message and its place to the host, before the instance ends in a trap that knows neither.
fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("the panic has no message");
    match panic.location() {
        Some(at) => log::emit(
            Level::Error,
            format_args!("panicked at {}:{}:{}: {message}", at.file(), at.line(), at.column()),
            &[("file", &at.file()), ("line", &at.line())],
        ),
        None => log::emit(Level::Error, format_args!("panicked: {message}"), &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(crate::Policy, serde::Deserialize, schemars::JsonSchema)]
    struct Limited {
        /// Devices in a group.
        #[allow(dead_code, reason = "only its schema is looked at")]
        limit: u32,
    }

    struct Bare;

    impl Policy for Bare {
        type Settings = NoSettings;

        fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
            Ok(Self)
        }
    }

    #[test]
    fn the_schema_has_the_doc_comments_as_descriptions() {
        let described = describe::<Limited>("limited", "1.0.0", "Limits");
        let schema = described.settings_schema.expect("it takes settings");
        assert!(schema.contains("Devices in a group."), "{schema}");
    }

    #[test]
    fn a_policy_without_settings_publishes_no_schema_and_refuses_any() {
        assert_eq!(describe::<Bare>("bare", "1.0.0", "Bare").settings_schema, None);
        assert!(configure::<Bare>("{}").is_ok());
        let problems = configure::<Bare>(r#"{"limit": 3}"#).err().expect("this must be refused");
        assert!(problems.iter().any(|problem| problem.message.starts_with("unknown field `limit`")));
    }

    #[test]
    fn a_decision_before_configure_is_a_fault_and_not_a_trap() {
        let state = State::<Bare>::new();
        assert_eq!(state.run(|_| Ok(())), Err(Fault::Internal("called before `configure`".into())));
        assert_eq!(state.configure("{}"), Ok(()));
        assert_eq!(state.run(|_| Ok(())), Ok(()));
    }
}
