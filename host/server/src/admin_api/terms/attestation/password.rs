//! Reads usernames and passwords from a body.

use landfall_attestation::password;
use landfall_domain::enrollment::{EnrollmentRef, IndividualAttestation};
use landfall_domain::secret::SecretText;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::admin_api::problem::Problem;
use crate::service::Service;

/// A username and a password. A password that is left out is kept.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct PasswordBody {
    /// The registration id when absent.
    username: Option<String>,
    /// 12 to 128 bytes. It is told to nobody again.
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
}

/// The password is not printed.
impl std::fmt::Debug for PasswordBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordBody")
    }
}

/// The password in the body, or else the stored one.
pub(super) fn password(
    service: &Service,
    owner: &EnrollmentRef,
    body: &PasswordBody,
    before: Option<&IndividualAttestation>,
) -> Result<IndividualAttestation, Problem> {
    if !service.config().passwords.enabled {
        let message = "passwords are off, and better so; passwords.enabled in landfall.toml takes them";
        return Err(Problem::at("/password", message));
    }
    let EnrollmentRef::Individual(id) = owner else {
        return Err(Problem::at("/password", "a password is one device's"));
    };
    let username = body.username.clone().unwrap_or_else(|| id.to_string());
    if username.is_empty() || username.len() > 128 || username.contains(':') || username.chars().any(char::is_control) {
        let message = "a username has 1 to 128 bytes, and neither colons nor control characters (RFC 7617)";
        return Err(Problem::at("/password/username", message));
    }
    let hash = match (&body.password, before) {
        (Some(given), _) => password::hash(&SecretText::new(given.to_string()), service.ambient().random())
            .map_err(|error| Problem::at("/password/password", error.to_string()))?,
        (None, Some(IndividualAttestation::Password { hash, .. })) => hash.clone(),
        (None, _) => return Err(Problem::at("/password/password", "give the device's password")),
    };
    Ok(IndividualAttestation::Password { username, hash })
}
