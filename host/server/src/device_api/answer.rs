//! The answer to a device, independent of the transport.

use landfall_domain::names::TrackingId;

use super::error::DeviceError;

/// The answer to a device's call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DeviceAnswer {
    /// The outcome of the call.
    pub outcome: Outcome,
    pub body: Vec<u8>,
    /// After how many seconds the device asks again.
    pub retry_after: Option<u64>,
    /// The tracking id of the explanation: that of the request, or that of the decision which the answer is based on.
    pub tracking_id: TrackingId,
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Outcome {
    /// A registration was started; the device polls its state.
    Begun,
    /// The operation is still pending.
    Assigning,
    /// The result is available.
    Finished,
    /// The TPM got a challenge that it must answer.
    Challenged,
    Wrong(DeviceError),
}

impl Outcome {
    /// The DPS status: the status code in HTTP, and a part of the answer's topic in MQTT. The code of an error begins
    /// with it.
    pub fn status(self) -> u16 {
        match self {
            Self::Begun | Self::Assigning => 202,
            Self::Finished => 200,
            Self::Challenged => 401,
            Self::Wrong(error) => error.status(),
        }
    }
}
