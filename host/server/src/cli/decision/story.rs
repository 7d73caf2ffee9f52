//! Tells the story of one decision: first its result, then why, then everything that was known and asked.

use serde_json::Value;

use super::super::output::{cleaned, text};
use super::reading::{failure, field, grouped, items, labels, moment, number, path, said, variant};

/// The story of a ledger entry.
pub(super) fn of(entry: &Value) -> String {
    let mut story = Story::default();
    let id = said(entry, "registrationId").unwrap_or_default();
    match field(entry, "kind").and_then(variant) {
        Some(("refused", refusal)) => {
            story.line(format!("{id} was refused: {}", said(refusal, "cause").unwrap_or_default()));
            story.line(said(refusal, "detail").unwrap_or_default());
            story.request(entry);
            story.shown(items(refusal, "shown"));
            story.line("");
            let cause = said(refusal, "cause").unwrap_or_default();
            let comes_back = ["issuer-away", "issuer-key-not-yet", "directory-away"].contains(&cause.as_str());
            story.line(if comes_back {
                "The device was told to come back (503), and the tracking id."
            } else {
                "The device was only told \"Unauthorized\" and the tracking id."
            });
        }
        Some(("decided", decision)) => {
            story.line(format!("{id} {}", verdict(decision)));
            story.request(entry);
            story.admission(decision);
            story.device(decision);
            story.issued(decision);
            story.stayed(decision);
            for (at, call) in items(decision, "calls").iter().enumerate() {
                story.call(at + 1, call, items(entry, "hubs"));
            }
        }
        Some(("answered", answer)) => {
            let status = number(answer, "status").unwrap_or_default();
            let whose = if id.is_empty() { "A request".to_owned() } else { id };
            story.line(format!("{whose} was answered {status}: {}", said(answer, "detail").unwrap_or_default()));
            story.request(entry);
            story.fact("asked", said(answer, "asked"));
            story.line("");
            story.line("Nothing was decided. Such answers are kept in memory, the last ones, until the server is started again.");
        }
        _ => {
            story.line(id);
            story.request(entry);
        }
    }
    story.0.trim_end().to_owned()
}

#[derive(Default)]
struct Story(String);

impl Story {
    /// Adds a line. Only this function ends lines: no text of a device or a policy can begin a line of its own.
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(&cleaned(line.as_ref()));
        self.0.push('\n');
    }

    fn heading(&mut self, text: impl AsRef<str>) {
        self.line("");
        self.line(text);
    }

    /// Adds a line to a section, if there is a value.
    fn fact(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.line(format!("  {name:13} {value}"));
        }
    }

    fn request(&mut self, entry: &Value) {
        self.heading("The request");
        self.fact("tracking id", said(entry, "trackingId"));
        self.fact("came at", moment(field(entry, "at")));
        self.fact("from", said(entry, "source"));
        self.fact("id scope", said(entry, "scope"));
    }

    /// What a refused device has shown.
    fn shown(&mut self, shown: &[Value]) {
        if !shown.is_empty() {
            self.heading("What the device showed");
        }
        for fact in shown {
            self.fact(&said(fact, "key").unwrap_or_default(), said(fact, "value"));
        }
    }

    /// The two factors.
    fn admission(&mut self, decision: &Value) {
        let Some(factors) = field(decision, "factors") else { return };
        self.heading("Why it was admitted");
        self.fact("1 credential", said(factors, "credential"));
        let evidence = path(items(factors, "evidence")).replace(" / ", ", ");
        let evidence =
            if evidence.is_empty() { String::new() } else { format!(", whose evidence matches: {evidence}") };
        self.fact(
            "2 record",
            Some(match said(factors, "manufacturer") {
                Some(manufacturer) => format!("imported by {manufacturer}{evidence}"),
                None => "none; the enrollment does not demand one".to_owned(),
            }),
        );
        self.fact(
            "enrollment",
            field(factors, "enrollment").map(|enrollment| match variant(enrollment) {
                Some((kind, id)) if id.is_string() => format!("{} {}", cleaned(kind), text(Some(id))),
                _ => text(Some(enrollment)),
            }),
        );
        let mechanism = field(decision, "device").and_then(|device| said(device, "attestation")).unwrap_or_default();
        let what = match mechanism.to_ascii_lowercase().as_str() {
            "x509" => "public key",
            "tpm" => "TPM's key",
            // With other mechanisms the id is bound to an enrollment, a subject or an account, and not to a key.
            _ => "bound to",
        };
        self.fact(what, said(factors, "keyIdentity").map(|digest| format!("SHA-256 {digest}")));
    }

    fn device(&mut self, decision: &Value) {
        let Some(device) = field(decision, "device") else { return };
        let facts = [
            ("facts", Some(labels(items(device, "facts")))),
            ("claims", Some(labels(items(device, "claims")))),
            ("tags", Some(labels(items(device, "tags")))),
            ("it says itself", said(device, "payload")),
            (
                "was before",
                field(device, "prior").map(|prior| {
                    let hub = said(prior, "hub").unwrap_or_default();
                    let group = path(items(prior, "groupPath"));
                    let since = moment(field(prior, "since")).unwrap_or_default();
                    format!("on {hub}{} since {since}", in_group(&group))
                }),
            ),
        ];
        if facts.iter().all(|(_, value)| value.as_deref().unwrap_or_default().is_empty()) {
            return;
        }
        self.heading("What the policies were told of it");
        for (name, value) in facts {
            self.fact(name, value);
        }
    }

    /// The certificate that was issued for the device.
    fn issued(&mut self, decision: &Value) {
        let Some(issued) = field(decision, "issued") else { return };
        self.heading("The certificate that it asked for");
        self.fact("issuer", said(issued, "issuer"));
        self.fact("serial number", said(issued, "serial"));
        self.fact("SHA-256", said(issued, "sha256"));
        self.fact("ends at", moment(field(issued, "notAfter")));
    }

    /// Why a device keeps a hub that no policy has chosen now.
    fn stayed(&mut self, decision: &Value) {
        let chosen = |call: &Value| {
            let step = field(call, "step").and_then(variant).map(|(name, _)| name);
            let result = field(call, "report").and_then(|report| field(report, "result"));
            let answer = result.and_then(|result| result.get("Ok").or_else(|| result.get("ok"))).and_then(variant);
            let assigns = answer.and_then(|(_, answer)| variant(answer)).is_some_and(|(name, _)| name == "assign");
            matches!(step, Some("selection" | "fallback")) && assigns
        };
        let assigned = field(decision, "verdict").and_then(variant).is_some_and(|(name, _)| name == "assigned");
        if assigned && !items(decision, "calls").iter().any(chosen) {
            self.heading("Choosing the hub: it stays where it is");
            self.fact("because", Some("the enrollment keeps a device on the hub that it has".to_owned()));
        }
    }

    fn call(&mut self, at: usize, call: &Value, hubs: &[Value]) {
        let step = match field(call, "step").and_then(variant) {
            Some(("selection", _)) => "Choosing the hub",
            Some(("fallback", _)) => "Choosing the hub, after the first policy had no opinion",
            Some(("grouping", _)) => "Saying where it belongs",
            _ => "Asking",
        };
        let plugin = said(call, "plugin").unwrap_or_default();
        self.heading(format!("{at}. {step}: the policy {plugin}"));
        let report = field(call, "report").unwrap_or(&Value::Null);
        self.fact("in place of", field(call, "instead").map(in_place));
        self.answer(report, call, hubs);
        self.candidates(call, hubs);
        self.tell_call(report, call, hubs);
        self.log(report);
        self.fact("took", field(report, "usage").map(usage));
        self.fact("revision", said(call, "revision"));
        self.fact("settings", said(call, "settings"));
        if let Some(call) = field(call, "call") {
            self.fact("clock", moment(field(call, "now")));
            self.fact("seed", said(call, "seed"));
            self.fact("attempt", number(call, "attempt").filter(|n| *n > 0).map(|n| format!("{}", n + 1)));
        }
    }

    fn answer(&mut self, report: &Value, call: &Value, hubs: &[Value]) {
        let result = field(report, "result").unwrap_or(report);
        let ok = result.get("Ok").or_else(|| result.get("ok"));
        let err = result.get("Err").or_else(|| result.get("err"));
        if let Some(error) = err {
            self.fact("no answer", Some(failure(error)));
            return;
        }
        let Some((kind, answer)) = ok.and_then(variant) else { return };
        let outcome = if kind == "placed" { Some(("placed", answer)) } else { variant(answer) };
        let Some((name, answer)) = outcome else { return };
        let reasons = match name {
            "assign" => {
                let hub = |handle: &Value| hub_of_handle(handle, call, hubs);
                let others: Vec<String> = items(answer, "alternates").iter().map(hub).collect();
                let others = if others.is_empty() { String::new() } else { format!(", or else {}", others.join(", ")) };
                self.fact("answer", field(answer, "hub").map(|handle| format!("{}{others}", hub(handle))));
                self.fact("device id", said(answer, "deviceId"));
                items(answer, "reasons")
            }
            "defer" => {
                let millis = number(answer, "retryAfterMs").unwrap_or_default();
                self.fact("answer", Some(format!("not now; ask again in {} ms", grouped(millis))));
                field(answer, "reason").map(std::slice::from_ref).unwrap_or_default()
            }
            "placed" => {
                let group = path(items(answer, "groupPath"));
                self.fact("answer", Some(if group.is_empty() { "no opinion on its group".to_owned() } else { group }));
                self.fact("tags", Some(labels(items(answer, "tags"))));
                self.fact("desired", said(answer, "desired"));
                self.fact("reply", said(answer, "reply"));
                items(answer, "reasons")
            }
            other => {
                let meaning = match other {
                    "reject" => "never: the registration fails",
                    "abstain" => "no opinion: the fallback policy decides",
                    unknown => unknown,
                };
                self.fact("answer", Some(cleaned(meaning)));
                std::slice::from_ref(answer)
            }
        };
        for reason in reasons {
            let detail = said(reason, "detail").unwrap_or_default();
            self.fact("because", said(reason, "code").map(|code| format!("{code}: {detail}")));
        }
    }

    fn candidates(&mut self, call: &Value, hubs: &[Value]) {
        let candidates = items(call, "candidates");
        let named: Vec<(String, &Value)> =
            candidates.iter().map(|candidate| (hub_name(candidate, hubs), candidate)).collect();
        let widest = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (at, (name, candidate)) in named.iter().enumerate() {
            let label = if at == 0 { "was shown" } else { "" };
            let count = |what: &str| number(candidate, what).map(grouped).unwrap_or_default();
            let pending = number(candidate, "pending").filter(|n| *n > 0);
            let pending = pending.map(|n| format!(", {} on their way", grouped(n))).unwrap_or_default();
            self.line(format!("  {label:13} {name:widest$}  {} assigned{pending}", count("assigned")));
        }
    }

    /// What the catalogue answered to a policy's call.
    fn tell_call(&mut self, report: &Value, call: &Value, hubs: &[Value]) {
        let transcript = field(report, "transcript").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for exchange in transcript {
            let (question, answer) = (field(exchange, "question"), field(exchange, "answer"));
            self.fact("asked", Some(asked(question, answer, |handle| hub_of_handle(handle, call, hubs))));
            if let (Some(("http", request)), Some((_, outcome))) =
                (question.and_then(variant), answer.and_then(variant))
            {
                let body = |of: &Value| field(of, "body").and_then(variant).map(|(_, body)| text(Some(body)));
                self.fact("sent", body(request));
                self.fact("was answered", variant(outcome).and_then(|(_, response)| body(response)));
            }
        }
    }

    fn log(&mut self, report: &Value) {
        let Some(log) = field(report, "log") else { return };
        for line in items(log, "lines") {
            let level = said(line, "level").unwrap_or_default();
            let message = said(line, "message").unwrap_or_default();
            let fields = labels(items(line, "fields"));
            let gap = if fields.is_empty() { "" } else { "  " };
            self.fact("logged", Some(format!("{level:5} {message}{gap}{fields}")));
        }
        let dropped = number(log, "dropped").filter(|dropped| *dropped > 0);
        self.fact("logged", dropped.map(|n| format!("and {} lines more than are kept", grouped(n))));
    }
}

/// A question and its answer, with names that a person knows.
fn asked(question: Option<&Value>, answer: Option<&Value>, hub: impl Fn(&Value) -> String) -> String {
    let plain = |value: Option<&Value>| value.map(|value| text(Some(value))).unwrap_or_default();
    let (said, told) = (question.and_then(variant), answer.and_then(variant));
    match (said, told) {
        (Some(("hub-labels", handle)), Some((_, Value::Array(all)))) => {
            let all = labels(all);
            format!("the labels of {}: {}", hub(handle), if all.is_empty() { "none".to_owned() } else { all })
        }
        (Some(("group-count", Value::Array(groups))), Some((_, count))) => {
            format!("how many devices are in {}: {}", path(groups), plain(Some(count)))
        }
        (Some(("http", request)), Some((_, outcome))) => {
            let of = |name: &str| self::said(request, name).unwrap_or_default();
            let came = match variant(outcome) {
                Some(("response", response)) => format!("status {}", plain(field(response, "status"))),
                Some(("failed", failed)) => {
                    format!("no answer ({}): {}", plain(field(failed, "failure")), plain(field(failed, "detail")))
                }
                _ => plain(Some(outcome)),
            };
            // The query of the address is a secret, and only its digest is kept.
            let url = of("url");
            let url = url.split_once("?sha256:").map_or(url.clone(), |(address, _)| format!("{address}?****"));
            format!("{} {url}: {came}", of("method"))
        }
        _ => format!("{}: {}", plain(question), plain(answer)),
    }
}

/// The result of the decision, after the device's name.
fn verdict(decision: &Value) -> String {
    let Some((kind, what)) = field(decision, "verdict").and_then(variant) else {
        return "was decided about".to_owned();
    };
    let of = |name: &str| said(what, name).unwrap_or_default();
    match kind.to_ascii_lowercase().as_str() {
        "assigned" => {
            let group = path(items(what, "groupPath"));
            format!("got the hub {} as {}{}", of("hub"), of("deviceId"), in_group(&group))
        }
        "rejected" => format!("was rejected by a policy ({}): {}", of("code"), of("detail")),
        "noroom" => format!("found no hub with room: {}", of("detail")),
        "postponed" => {
            let until = moment(field(what, "until")).unwrap_or_default();
            format!("has to wait until {until} ({}): {}", of("kind"), of("detail"))
        }
        _ => format!("{}: {}", cleaned(kind), text(Some(what))),
    }
}

/// Why a policy was asked that the enrollment does not name.
fn in_place(instead: &Value) -> String {
    let who = match said(instead, "resort").unwrap_or_default().as_str() {
        "previous-revision" => "the live revision".to_owned(),
        "shipped" => "the enrollment's policy".to_owned(),
        other => other.to_owned(),
    };
    format!("{who}, which gave no answer ({})", said(instead, "because").unwrap_or_default())
}

fn in_group(group: &str) -> String {
    if group.is_empty() { String::new() } else { format!(", in the group {group}") }
}

/// The hub that a handle in a call means: its position among the candidates of the call.
fn hub_of_handle(handle: &Value, call: &Value, hubs: &[Value]) -> String {
    let position = handle.as_u64().and_then(|handle| usize::try_from(handle).ok());
    match position.and_then(|position| items(call, "candidates").get(position)) {
        Some(candidate) => hub_name(candidate, hubs),
        None => text(Some(handle)),
    }
}

/// The name of a candidate: its own member, or its position in the list of hubs that the decision was made from.
fn hub_name(candidate: &Value, hubs: &[Value]) -> String {
    let Some(hub) = field(candidate, "hub") else {
        return said(candidate, "name").unwrap_or_default();
    };
    let position = hub.as_u64().and_then(|position| usize::try_from(position).ok());
    let kept = position.and_then(|position| hubs.get(position));
    match kept {
        Some(kept) => said(kept, "name").unwrap_or_else(|| text(Some(kept))),
        None if hub.is_string() => text(Some(hub)),
        None => format!("hub {}", text(Some(hub))),
    }
}

fn usage(usage: &Value) -> String {
    let of = |name: &str| number(usage, name).map(grouped).unwrap_or_else(|| "?".to_owned());
    let memory = number(usage, "peakMemoryBytes").map(|bytes| grouped(bytes / 1024)).unwrap_or_default();
    format!(
        "{} units of fuel, {memory} KiB of memory; {} µs waiting, {} µs starting, {} µs running",
        of("fuel"),
        of("queueUs"),
        of("instantiateUs"),
        of("guestUs")
    )
}

#[cfg(test)]
mod tests;
