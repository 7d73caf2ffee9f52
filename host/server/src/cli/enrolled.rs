//! What `landfall enrollment` and `landfall group` have in common: the requests, and how their answers are told.

use serde_json::Value;

use super::changes::{hint_of_fallback, told_with};
use super::proof::with_proof;
use super::shared_key::key_lines;
use super::terms::PreconditionArgs;
use super::{CliError, Common, Session};
use crate::client::management::Changed;

/// Individual enrollments, or groups.
pub(super) struct Kind {
    /// Their collection in the management API.
    pub(super) collection: &'static str,
    /// The heading of their ids, and the member that holds one.
    pub(super) id: (&'static str, &'static str),
    /// What a list says that has none.
    pub(super) none: &'static str,
}

impl Kind {
    fn path(&self, session: &Session, id: &str) -> String {
        session.path(&[self.collection, id])
    }

    /// Makes one, or says all of it anew. `done` tells it to people: whether it was there before.
    pub(super) async fn put(
        &self,
        session: &mut Session,
        (id, precondition, body): (&str, &PreconditionArgs, &Value),
        unseen: &'static [&'static str],
        done: impl FnOnce(bool) -> String,
    ) -> Result<(), CliError> {
        let path = self.path(session, id);
        let Changed { before, answer } = precondition.put(&mut session.api, &path, body).await?;
        let changes = told_with(before.as_ref(), &answer, unseen);
        let (done, warning, keys) = (done(before.is_some()), warning(body), key_lines(&answer));
        session.out.done(format!("{done}{warning}{changes}{keys}"), &answer)
    }

    /// Changes one, over what stands there.
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
        let changes = told_with(before.as_ref(), &answer, unseen);
        let (hint, keys) = (hint_of_fallback(before.as_ref(), &answer), key_lines(&answer));
        session.out.done(format!("{done}{}{changes}{hint}{keys}", warning(&answer)), &answer)
    }

    pub(super) async fn show(&self, session: &mut Session, id: &str) -> Result<(), CliError> {
        let path = self.path(session, id);
        let answer = session.api.get(&path).await?;
        session.out.details(&answer)
    }

    /// Lists so many.
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

    /// Deletes one, when whoever is asked is sure.
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

/// The second factor is never off silently.
fn warning(body: &Value) -> &'static str {
    if body.get("manufacturing").is_some_and(|how| how == "optional") {
        " No manufacturing record is demanded: the credential alone admits."
    } else {
        ""
    }
}
