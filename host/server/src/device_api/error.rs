//! The errors that a device may see, on any transport (codes of DPS; the status is the first three digits of a code).

use std::fmt;

use landfall_attestation::x509::request::RequestFlaw;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::TrackingId;
use serde::Serialize;

/// An error answer, and its explanation for the operator, which has more detail than the device gets but never a value
/// from the request that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The error that the device gets.
    pub told: DeviceError,
    /// What is wrong, and where.
    pub detail: String,
}

impl Wrong {
    /// An error with an explanation for the operator.
    pub fn because(told: DeviceError, detail: impl fmt::Display) -> Self {
        Self { told, detail: detail.to_string() }
    }

    /// A bad request, with more detail for the operator.
    pub fn bad(told: &'static str, more: impl fmt::Display) -> Self {
        Self::because(DeviceError::BadRequest(told), format_args!("{told}: {more}"))
    }
}

impl From<DeviceError> for Wrong {
    fn from(told: DeviceError) -> Self {
        Self::because(told, told.message())
    }
}

/// The error that a device gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// The request is not valid in DPS's protocol; the text says why.
    BadRequest(&'static str),
    /// The message is not valid in the transport, or uses a feature that is not served here, such as another HTTP
    /// method.
    NotSpoken {
        /// The status, 400 or above.
        status: u16,
        /// What is wrong with the message.
        message: &'static str,
    },
    /// Any refusal, whatever its cause.
    Unauthorized,
    /// The operation, registration or path does not exist.
    NotFound,
    /// A feature of DPS or of the management API that is not served here; the text names it.
    NotServed(&'static str),
    /// The body exceeds the limit.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The server is busy; the device asks again after the usual time.
    Busy,
    /// The server is busy; the device asks again after this many seconds.
    BusyFor(u64),
    /// The device asks too often; it may ask again after this many seconds.
    TooOften(u64),
    /// An internal error.
    Internal,
}

impl DeviceError {
    /// The error for a certificate signing request that cannot be granted. The operator gets the name of the flaw; the
    /// author of a device's software needs less.
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

    /// The DPS status of the error.
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

    /// The DPS error code. Codes that DPS has not published end in 001.
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

    /// The message for the device.
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

    /// The body of the answer with this error.
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
