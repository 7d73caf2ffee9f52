//! The errors that a device may know, whatever carries them (DPS's codes; the status is a code's first three digits).

use std::fmt;

use landfall_attestation::x509::request::RequestFlaw;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::TrackingId;
use serde::Serialize;

/// An answer that is an error, and what the operator is told of it: more than the device, and never a value from the request
/// that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What the device is told.
    pub told: DeviceError,
    /// What was wrong, and where.
    pub detail: String,
}

impl Wrong {
    /// With what the operator is told.
    pub fn because(told: DeviceError, detail: impl fmt::Display) -> Self {
        Self { told, detail: detail.to_string() }
    }

    /// A bad request. The operator is told more than the device.
    pub fn bad(told: &'static str, more: impl fmt::Display) -> Self {
        Self::because(DeviceError::BadRequest(told), format_args!("{told}: {more}"))
    }
}

impl From<DeviceError> for Wrong {
    fn from(told: DeviceError) -> Self {
        Self::because(told, told.message())
    }
}

/// An answer that is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// The request is not one that DPS's protocol knows; the text says what is wrong with it.
    BadRequest(&'static str),
    /// What came is no message of the transport, or one that it has and that is not served here, such as another method of HTTP.
    NotSpoken {
        /// The status, from 400 on.
        status: u16,
        /// What is wrong with it.
        message: &'static str,
    },
    /// Every refusal, whatever its cause.
    Unauthorized,
    /// There is no such operation, registration or path.
    NotFound,
    /// It is something that DPS or the management API has, and that is not served here; the text says what.
    NotServed(&'static str),
    /// The body is over the limit.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// Too much is under way; the device asks again after the time given.
    Busy,
    /// The same, when the time is known: so many seconds.
    BusyFor(u64),
    /// It asks too often; it may come again after so many seconds.
    TooOften(u64),
    /// Something is broken here.
    Internal,
}

impl DeviceError {
    /// A request for a certificate that cannot be granted. The names of flaws are the operator's; a device's author needs
    /// less.
    pub fn of_csr(flaw: &RequestFlaw) -> Self {
        Self::BadRequest(match flaw {
            RequestFlaw::TooLarge => "The csr is too large",
            RequestFlaw::Malformed => "The csr is not a PKCS#10 request in DER",
            RequestFlaw::Name(_) => "The csr's common name is not a registration id",
            RequestFlaw::OtherName => "The csr's common name is not the registrationId",
            RequestFlaw::Key(_) => "The csr's key is not of an accepted kind and size",
            RequestFlaw::NotProven => "The csr was not signed by its own key",
        })
    }

    /// The status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotSpoken { status, .. } => status,
            Self::Unauthorized => 401,
            Self::NotFound | Self::NotServed(_) => 404,
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Busy | Self::BusyFor(_) => 503,
            Self::TooOften(_) => 429,
            Self::Internal => 500,
        }
    }

    /// DPS's code. Those that DPS has not made public end in 001.
    pub fn code(self) -> u32 {
        match self {
            Self::BadRequest(_) | Self::NotSpoken { status: 400, .. } => 400_004,
            Self::Unauthorized => 401_002,
            Self::NotFound | Self::NotServed(_) => 404_202,
            Self::NotSpoken { .. }
            | Self::TooLarge
            | Self::TooSlow
            | Self::Busy
            | Self::BusyFor(_)
            | Self::TooOften(_)
            | Self::Internal => u32::from(self.status()) * 1000 + 1,
        }
    }

    /// What the device is told.
    pub fn message(self) -> &'static str {
        match self {
            Self::BadRequest(what) | Self::NotServed(what) => what,
            Self::NotSpoken { message, .. } => message,
            Self::Unauthorized => "Unauthorized",
            Self::NotFound => "Not found",
            Self::TooLarge => "The message is too large",
            Self::TooSlow => "The message did not come in time",
            Self::Busy | Self::BusyFor(_) => "The service is busy",
            Self::TooOften(_) => "Too many requests",
            Self::Internal => "Internal error",
        }
    }

    /// The body.
    pub fn body(self, tracking_id: TrackingId, now: Timestamp) -> ErrorBody {
        ErrorBody {
            error_code: self.code(),
            tracking_id: tracking_id.to_string(),
            message: self.message(),
            timestamp_utc: now.to_string(),
        }
    }
}

/// The body of an error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    error_code: u32,
    tracking_id: String,
    message: &'static str,
    timestamp_utc: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_begins_with_its_status() {
        for (error, code) in [
            (DeviceError::BadRequest("x"), 400_004),
            (DeviceError::NotSpoken { status: 400, message: "x" }, 400_004),
            (DeviceError::NotSpoken { status: 405, message: "x" }, 405_001),
            (DeviceError::NotSpoken { status: 431, message: "x" }, 431_001),
            (DeviceError::Unauthorized, 401_002),
            (DeviceError::NotFound, 404_202),
            (DeviceError::NotServed("x"), 404_202),
            (DeviceError::TooLarge, 413_001),
            (DeviceError::TooSlow, 408_001),
            (DeviceError::Busy, 503_001),
            (DeviceError::BusyFor(7), 503_001),
            (DeviceError::TooOften(7), 429_001),
            (DeviceError::Internal, 500_001),
        ] {
            assert_eq!((error.code(), error.code() / 1000), (code, u32::from(error.status())), "{error:?}");
        }
    }
}
