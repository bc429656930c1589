//! What one contract tells the other of a use.

use near_sdk::near;

/// How a use went.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it is for.
    Success {
        /// 1 to 5.
        rating: u8,
    },
    /// It did not.
    Failure,
}
