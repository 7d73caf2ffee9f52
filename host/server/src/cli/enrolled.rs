//! What `landfall enrollment` and `landfall group` share: the requests, and how their answers are printed.

use serde_json::Value;

use super::changes::{difference_with, hint_of_fallback};
use super::proof::with_proof;
use super::shared_key::key_lines;
use super::terms::PreconditionArgs;
use super::{CliError, Common, Session};
use crate::client::management::Changed;

/// Individual enrollments, or groups.
pub(super) struct Kind {
    /// Their collection in the management API.
    pub(super) collection: &'static str,
    /// The heading of their ids, and the member with the id.
    pub(super) id: (&'static str, &'static str),
    /// The text of an empty list.
    pub(super) none: &'static str,
}

impl Kind {
    fn path(&self, session: &Session, id: &str) -> String {
        session.path(&[self.collection, id])
    }

    /// Creates one, or replaces all of it. `done` makes the sentence for people; it is told whether there was one
    /// before.
    pub(super) async fn put(
        &self,
        session: &mut Session,
        (id, precondition, body): (&str, &PreconditionArgs, &Value),
        unseen: &'static [&'static str],
        done: impl FnOnce(bool) -> String,
    ) -> Result<(), CliError> {
        let path = self.path(session, id);
        let Changed { before, answer } = precondition.put(&mut session.api, &path, body).await?;
        let changes = difference_with(before.as_ref(), &answer, unseen);
        let (done, warning, keys) = (done(before.is_some()), warning(body), key_lines(&answer));
        session.out.done(format!("{done}{warning}{changes}{keys}"), &answer)
    }

    /// Changes one, on top of its present state.
    pub(super) async fn set(
        &self,
        session: &mut Session,
        id: &str,
        unseen: &'static [&'static str],
        over: impl FnMut(Option<&Value>) -> Result<Value, CliError>,
        done: &str,
    ) -> Result<(), CliError> {
        let path = self.path(session, id);
        let Changed { before, answer } = session.api.change(&path, over).await?;
        let changes = difference_with(before.as_ref(), &answer, unseen);
        let (hint, keys) = (hint_of_fallback(before.as_ref(), &answer), key_lines(&answer));
        session.out.done(format!("{done}{}{changes}{hint}{keys}", warning(&answer)), &answer)
    }

    pub(super) async fn show(&self, session: &mut Session, id: &str) -> Result<(), CliError> {
        let path = self.path(session, id);
        let answer = session.api.get(&path).await?;
        session.out.details(&answer)
    }

    /// Lists at most `limit` of them.
    pub(super) async fn list(&self, session: &mut Session, limit: usize) -> Result<(), CliError> {
        let path = session.path(&[self.collection]);
        let page = with_proof(session.out, session.api.list(&path, limit).await?);
        let columns = [
            self.id,
            ("proof", "/proof"),
            ("enabled", "/enabled"),
            ("manufacturing", "/manufacturing"),
            ("manufacturers", "/manufacturers"),
            ("allocation", "/allocation/selection/plugin"),
            ("hubs", "/hubs"),
            ("updated", "/updatedAt"),
        ];
        session.out.list(&page, &columns, self.none)
    }

    /// Deletes one, after a confirmation.
    pub(super) async fn delete(
        &self,
        (common, session): (&Common, &mut Session),
        id: &str,
        sure: &str,
        done: String,
    ) -> Result<(), CliError> {
        common.sure(sure)?;
        let path = self.path(session, id);
        let answer = session.api.delete(&path).await?;
        session.out.done(done, &answer)
    }
}

/// A warning if the second factor is off: that is never done silently.
fn warning(body: &Value) -> &'static str {
    if body.get("manufacturing").is_some_and(|how| how == "optional") {
        " No manufacturing record is demanded: the credential alone admits."
    } else {
        ""
    }
}
