//! `landfall status`.

use serde_json::Value;

use super::output::{cell, text};
use super::{CliError, Common};

/// Shows what runs at the server: its version, its id scopes, and the tasks that run by themselves.
pub(super) async fn run(common: &Common) -> Result<(), CliError> {
    let (mut api, out) = (common.api()?, common.output());
    let mut status = api.get("/status").await?;
    if out.is_json() {
        return out.value(&status);
    }
    let tasks = status.as_object_mut().and_then(|members| members.remove("tasks")).unwrap_or_default();
    out.details(&status)?;
    out.say("")?;
    let row =
        |task: &Value| vec![cell(task.get("name")), every(task).into(), cell(task.get("lastStarted")), outcome(task)];
    out.table(&["task", "every", "last run", "result"], tasks.as_array().into_iter().flatten().map(row))
}

fn every(task: &Value) -> String {
    match task.get("periodSeconds") {
        Some(seconds) => format!("{seconds} s"),
        None => "-".to_owned(),
    }
}

/// The result of the last run that ended; a text if there was none yet.
fn outcome(task: &Value) -> comfy_table::Cell {
    let words = match (task.get("error"), task.get("result"), task.get("running")) {
        (Some(error), ..) => format!("FAILED: {}", text(Some(error))),
        (None, Some(result), _) => text(Some(result)),
        (None, None, Some(Value::Bool(true))) => "running".to_owned(),
        (None, None, _) => "-".to_owned(),
    };
    words.into()
}
