//! Was built from another contract: its hub lacks a field. The contract's version says the same.

// A changed copy of `wit/v0_1/policy.wit`, reduced to what this guest uses.
wit_bindgen::generate!({
    inline: "
        package landfall:policy@0.1.0;

        interface types {
            type hub-handle = u32;
            type json-text = string;
            enum attestation { x509, tpm, symmetric-key, token }
            enum enrollment-kind { individual, group }
            record label { key: string, value: string }
            record reason { code: string, detail: string }
            record prior { hub: string, group-path: list<string>, since: u64 }
            record device {
                registration-id: string,
                attestation: attestation,
                enrollment: enrollment-kind,
                enrollment-id: string,
                facts: list<label>,
                claims: list<label>,
                tags: list<label>,
                payload: option<json-text>,
                prior: option<prior>,
            }
            record hub {
                handle: hub-handle,
                name: string,
                weight: u32,
                capacity: u64,
                assigned: u64,
                pending: u32,
            }
            record call { decision-id: string, now: u64, seed: u64, catalog-revision: u64, attempt: u32 }
            variant fault { unsupported(string), bad-input(string), internal(string) }
        }

        interface control {
            use types.{json-text};
            record description {
                name: string,
                version: string,
                summary: string,
                settings-schema: option<json-text>,
            }
            record problem { pointer: string, message: string }
            describe: func() -> description;
            configure: func(settings: json-text) -> result<_, list<problem>>;
        }

        interface hub-selection {
            use types.{call, device, hub, hub-handle, reason, fault};
            record choice {
                hub: hub-handle,
                alternates: list<hub-handle>,
                device-id: option<string>,
                reasons: list<reason>,
            }
            record deferral { retry-after-ms: u32, reason: reason }
            variant outcome { assign(choice), defer(deferral), reject(reason), abstain(reason) }
            select-hub: func(call: call, device: device, candidates: list<hub>) -> result<outcome, fault>;
        }

        world selector {
            export control;
            export hub-selection;
        }
    ",
});

use exports::landfall::policy::control::{self, Description, Problem};
use exports::landfall::policy::hub_selection::{self, Choice, Outcome};
use landfall::policy::types::{Call, Device, Fault, Hub};

struct Guest;

impl control::Guest for Guest {
    fn describe() -> Description {
        Description {
            name: "hub-without-location".into(),
            version: "0.1.0".into(),
            summary: "Its hub lacks a field".into(),
            settings_schema: None,
        }
    }

    fn configure(_: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl hub_selection::Guest for Guest {
    fn select_hub(_: Call, _: Device, candidates: Vec<Hub>) -> Result<Outcome, Fault> {
        let hub = candidates.first().ok_or_else(|| Fault::Internal("no hubs".into()))?.handle;
        Ok(Outcome::Assign(Choice { hub, alternates: Vec::new(), device_id: None, reasons: Vec::new() }))
    }
}

#[cfg(target_arch = "wasm32")]
export!(Guest);
