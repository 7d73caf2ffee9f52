//! What a device is answered, whatever carries it.

use landfall_domain::names::TrackingId;

use super::error::DeviceError;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DeviceAnswer {
    /// What came of the call.
    pub outcome: Outcome,
    pub body: Vec<u8>,
    /// After how many seconds the device asks again.
    pub retry_after: Option<u64>,
    /// Under what its story is found: the request's own, or that of the decision which the answer rests on.
    pub tracking_id: TrackingId,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Outcome {
    /// A registration has begun; the device asks how far it is.
    Begun,
    /// It goes on.
    Assigning,
    /// There is a result.
    Finished,
    /// A TPM was told its challenge, and has to answer it.
    Challenged,
    Wrong(DeviceError),
}

impl Outcome {
    /// The status of DPS: HTTP answers with it, and MQTT names it in the topic of the answer. An error's code begins with it.
    pub fn status(self) -> u16 {
        match self {
            Self::Begun | Self::Assigning => 202,
            Self::Finished => 200,
            Self::Challenged => 401,
            Self::Wrong(error) => error.status(),
        }
    }
}
