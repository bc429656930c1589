//! What lies under which prefix. The numbers are part of the state: none may ever change.

use mycel_common::{Hash, Map};
use near_sdk::AccountId;

use crate::index::{Place, Slot};
use crate::records::{Contribution, Creator, Pattern, Receipt};
use crate::seqs::Bits;

/// Patterns by their numbers.
pub type Patterns = Map<0, u64, Pattern>;
/// Numbers by creator and hash.
pub type ByHash = Map<1, (AccountId, Hash), u64>;
/// Creators.
pub type Creators = Map<2, AccountId, Creator>;
/// Numbers by creator and position.
pub type ByCreator = Map<3, (AccountId, u32), u64>;
/// What could not be paid out.
pub type Claimable = Map<4, AccountId, u128>;
/// Uses by pattern and account.
pub type Receipts = Map<5, (u64, AccountId), Receipt>;
/// Contributions by account and model.
pub type Contributions = Map<6, (AccountId, String), Contribution>;
/// Numbers by change.
pub type Changed = Map<7, u32, u64>;
/// See `Seqs`: by level, and the number without as many bytes as are below.
pub type SeqBits = Map<8, (u8, u32), Bits>;
/// See `Index`: which buckets of a domain have anybody.
pub type IndexUsed = Map<9, String, u64>;
/// See `Index`: by domain and bucket.
pub type IndexLengths = Map<10, (String, u8), u32>;
/// See `Index`: by domain, bucket and position.
pub type IndexSlots = Map<11, (String, u8, u32), Slot>;
/// See `Index`.
pub type IndexPlaces = Map<12, (AccountId, String), Place>;
